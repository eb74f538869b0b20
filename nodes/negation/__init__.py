"""The nodes that turn the sign of weights which answer to unsafe inputs, and what they share."""
