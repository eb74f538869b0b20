"""Fuzzing of the scripts of the window's commands in node, and a comparison with `safety-steer add`."""
