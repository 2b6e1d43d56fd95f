"""The ten ImageNet classes of Imagenette, on which SalUn and its rivals are compared."""

from prompts.concept import ConceptSpec, Vocabulary
from prompts.wording import normalise

CLASSES = (
    "tench",
    "English springer",
    "cassette player",
    "chain saw",
    "church",
    "French horn",
    "garbage truck",
    "gas pump",
    "golf ball",
    "parachute",
)
CLASSIFIER = "microsoft/resnet-50"
"""An ImageNet classifier on the hub that names all ten."""
VOCABULARY = Vocabulary(objects=CLASSES, styles=())


def is_imagenette(spec: ConceptSpec) -> bool:
    """Whether every one of the concepts is one of the ten."""
    names = {normalise(name) for name in CLASSES}
    return all(names & {normalise(label) for label in s.labels} for s in spec.members or (spec,))
