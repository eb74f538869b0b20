"""AutoSteer's refusal of text (arXiv 2507.13255): a prober that reads a request, and an output head that then refuses it."""
