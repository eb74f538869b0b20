"""Nodes for directions that are fitted to a text encoder already: one saves them as files, the other loads them."""
