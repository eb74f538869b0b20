"""The transfer table, by step: prompts, an encoder's states of them, methods, what is measured of them, and Markdown."""
