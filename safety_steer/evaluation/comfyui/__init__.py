"""Measure a user's own checkpoint: drive a running ComfyUI through its API, judge what it draws, with and without steering."""
