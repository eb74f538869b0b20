"""A browser that tests can drive."""
