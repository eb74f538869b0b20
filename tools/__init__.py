"""Scripts that write or draw what the repository holds: pages, workflows, data."""
