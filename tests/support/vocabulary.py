"""The words of judges like the miniature's, fewer of them."""

from prompts.concept import Vocabulary

STYLES = ("flat", "outline", "blueprint", "neon", "pixel", "night", "sepia")
OBJECTS = (
    "church", "dog", "delivery truck", "fuel pump", "glasses", "apple", "christmas tree", "tree",
    "cat", "horse", "cow", "pig", "owl", "frog", "snake", "whale", "octopus", "crab", "snail",
    "castle", "house", "bus", "train", "key", "eye",
)  # fmt: skip
VOCABULARY = Vocabulary(OBJECTS, STYLES)
