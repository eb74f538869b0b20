"""The nodes that refuse: an unsafe prompt that is to be drawn, and an unsafe request to a language model."""
