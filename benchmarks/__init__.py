"""Scripts that measure: every figure of the README and docs comes from one of them."""
