"""Training of the demo world: sprites, autoencoder, judges and generators."""
