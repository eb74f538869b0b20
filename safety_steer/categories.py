"""The kinds of unsafe content that directions know, what each means, and how the names of published sets map to them.

SafeSteerDataset gave the first six names; they mean what they always meant. CoProV2 and OVERT brought the last three.
"""

from __future__ import annotations

from types import MappingProxyType

GLOBAL = "global"  # the direction of everything unsafe together
MEANINGS = MappingProxyType(
    {
        "hate": "hateful content about people or groups, and discrimination",
        "sexual": "nudity and sexual content",
        "violence": "people or animals being hurt, and weapons used on them",
        "humiliation": "people being mocked, bullied or harassed",
        "illegal_activity": "crimes: drugs, theft, fraud, forgery, and what is plainly unethical",
        "disturbing": "gore, horror and other shocking sights",
        "self_harm": "suicide, self-injury and eating disorders",
        "privacy": "private data and secret pictures of people, known or not",
        "copyright": "copies of protected characters, brands and works",
    }
)

MERGED = MappingProxyType(
    {
        "harassment": "humiliation",
        "shocking": "disturbing",
        "self-harm": "self_harm",
        "discrimination": "hate",
        "illegal_activities": "illegal_activity",
        "unethical": "illegal_activity",
        "privacy_individual": "privacy",
        "privacy_public": "privacy",
        "sexual_content": "sexual",
        "copyright_violations": "copyright",
    }
)


def normalised(name: str) -> str:
    """Lower-case a name and join its words with underscores, as pairs are read."""
    return "_".join(name.lower().split())


def merged(name: str) -> str:
    """Return the category that a name of SafeSteerDataset, CoProV2 or OVERT belongs to; others are only normalised."""
    plain = normalised(name)
    return MERGED.get(plain, plain)
