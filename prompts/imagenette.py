"""The ten ImageNet classes of Imagenette, on which SalUn and its rivals are compared."""

from prompts.concept import ConceptSpec, Vocabulary
from prompts.naming import named_labels

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
    return all(named_labels(s.labels, CLASSES) for s in spec.members or (spec,))
