"""ComfyUI's sampling: conditioning entries, step windows, steered variants and the cross-attention site."""
