"""Scripts that choose and write data: harmless prompts and merged pairs."""
