"""From pairs of prompts and a language model to a safety direction."""
