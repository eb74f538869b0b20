"""CLIP vision: pictures through it, where captioned ones come from, and steering of what it says."""
