"""The demo's networks as ComfyUI's MODEL, CLIP, VAE and CLIP_VISION."""
