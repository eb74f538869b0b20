"""The two values that travel: a safety direction in its source model, and one aligned to a text encoder."""
