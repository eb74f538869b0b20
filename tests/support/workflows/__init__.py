"""Small workflows, drawn by hand or in shapes, and ComfyUI's templates."""
