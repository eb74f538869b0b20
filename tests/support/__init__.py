"""What tests share: tiny models, small workflows, a running ComfyUI and its families."""
