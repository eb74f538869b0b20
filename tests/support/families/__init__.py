"""Every model family of ComfyUI with small random weights."""
