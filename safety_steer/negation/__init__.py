"""Unsafe Weights Manipulation (arXiv 2503.11742): which weights answer more to unsafe inputs than to safe ones, and turning
their sign.

`layers` finds a model's linear layers, `collect` records what goes into them, `scores` ranks and chooses weights, `patch` is
the file of what was chosen, `models` puts it together for models on disk.
"""

TAU = 0.02  # of the mass, as in the paper
