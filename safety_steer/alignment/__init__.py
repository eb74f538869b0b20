"""From a safety direction and a text encoder's harmless states to an aligned direction."""
