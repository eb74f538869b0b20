"""Methods, prompts, measures and the run that compares them on the demo generators."""
