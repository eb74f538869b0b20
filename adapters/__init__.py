"""What speaks to ComfyUI and is no node: text encoders, sampling, the demo's models, logs and folders."""
