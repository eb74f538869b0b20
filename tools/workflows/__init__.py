"""Scripts that write the example workflows and the block."""
