"""Does steering make pictures and videos safer? Methods, prompts, measures and the run that compares them."""
