"""Scripts that write pages and draw their pictures."""
