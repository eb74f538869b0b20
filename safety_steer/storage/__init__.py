"""Files in and out: containers, text, prompts, and what comes with the pack. Nothing here knows what a direction is."""
