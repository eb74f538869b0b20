"""The names a user chooses among, apart from what they stand for: a list of them is shown without importing any of that.

In the order of the lists that users see, which workflows are saved with. What a name stands for is in the registry of the same
name, in the room that does the work; `tests/house/test_choices.py` holds each list to it.
"""

MAPS = ("ridge", "svd", "mlp")
THRESHOLDS = ("all", "own")
ESTIMATORS = ("mean", "pca", "lda", "logistic")
OPERATORS = ("clip", "project", "add", "erase")
GATES = ("off", "hard", "soft")
PRESETS = ("off", "gentle", "standard", "strict", "firm")
VISION_WAYS = ("pictures", "through text", "auto")
THEMES = ("dark", "light")
NEGATED_LAYERS = ("attention", "feed-forward", "both")
