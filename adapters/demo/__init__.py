"""The demo's networks as ComfyUI's MODEL, CLIP and VAE."""
