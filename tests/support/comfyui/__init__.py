"""A real ComfyUI in this process or beside it, with tiny models."""
