"""ComfyUI's text encoders: prompts in, text spaces out, and what is inside."""
