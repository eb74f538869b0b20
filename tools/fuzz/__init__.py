"""Fuzzing of everything that reads a file from a stranger: targets, their beginnings, and what runs them."""
