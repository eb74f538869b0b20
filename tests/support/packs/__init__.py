"""Other people's packs in a real ComfyUI, one process for each: small graphs, steered by the command and by the library."""
