"""Workflows as the editor saves them: nodes put in, laid out, written down and moved aside."""
