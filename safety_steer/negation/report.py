"""A patch in words."""

from __future__ import annotations

from .patch import WeightPatch


def described(patch: WeightPatch, model: str, strength: float = 1.0) -> str:
    """Say how many weights of a model are turned, how they were chosen, and how many they are in each layer."""
    total = (
        f"{'negated' if strength == 1 else f'at strength {strength:g}'} {patch.count:,} weights ({patch.share:.2%}) in "
        f"{len(patch.layers)} layers of {model}"
    )
    how = f"tau {patch.tau:g}, {patch.which}, {'weighted' if patch.weighted else 'plain'} scores of {patch.pairs} pairs"
    rows = [f"{name}: {len(layer.places):,} of {layer.shape[0] * layer.shape[1]:,}" for name, layer in patch.layers.items()]
    return "\n".join([f"nothing changed (strength 0); would be {total}" if not strength else total, how, *rows])
