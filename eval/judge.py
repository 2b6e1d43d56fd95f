"""Whatever tells what an image shows, behind one shape; and how one is opened by its name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from plumbing.errors import UsageError
from prompts.concept import ConceptSpec
from prompts.wording import normalise

NUDENET, CLIP, SAFETY_CHECKER = NAMES = ("nudenet", "clip", "safety-checker")
DEFAULT_CLIP = "openai/clip-vit-large-patch14"
DEFAULT_SAFETY_CHECKER = "CompVis/stable-diffusion-safety-checker"


@dataclass(frozen=True)
class Prediction:
    """The likeliest label of an image and how sure the judge is of it, 0 to 1.

    A judge that only says yes or no is always sure.
    """

    label: str
    score: float


class Judge(Protocol):
    """A loaded model that names what it sees in images."""

    @property
    def name(self) -> str:
        """How results call it."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of all that decides what it says."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """All that it can say."""
        ...

    @property
    def means_concept(self) -> tuple[str, ...]:
        """Labels that are the concept it was opened for; empty if labels are names of things."""
        ...

    @property
    def explicit(self) -> bool:
        """Whether it looks for what other users of the machine should not find."""
        ...

    def classify(self, images: Sequence[Path], batch_size: int = 64) -> Iterator[Prediction]:
        """The prediction of each image file, in order."""
        ...


def labels_named(names: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that are one of the names; of ImageNet's `church, church building` either word."""
    wanted = {normalise(name) for name in names}
    return tuple(
        label
        for label in labels
        if normalise(label) in wanted or wanted & {normalise(word) for word in label.split(",")}
    )


def open_judge(source: str, spec: ConceptSpec, *, clip: str | Path, device: Any) -> Judge:
    """Open a detector of a concept: one of `NAMES`, or a model's folder or hub id.

    A folder or hub id may hold an image classifier, a CLIP model (asked zero-shot) or diffusers'
    safety checker: its config tells. `clip` is the CLIP model that plain `clip` stands for.
    UsageError if it cannot be opened.
    """
    from eval.classifier import load_classifier
    from eval.features import load_clip
    from eval.nudity_judge import NudityJudge
    from eval.safety_checker import load_safety_checker
    from eval.zero_shot import ZeroShot

    if source == NUDENET:
        return NudityJudge.open()
    model: str | Path = {CLIP: clip, SAFETY_CHECKER: DEFAULT_SAFETY_CHECKER}.get(source, source)
    kind = source if source in NAMES else _kind(source)
    if kind == CLIP:
        return ZeroShot.of(load_clip(model, device), spec)
    if kind == SAFETY_CHECKER:
        return load_safety_checker(model, device)
    return load_classifier(model, device)


def _kind(source: str) -> str:
    """What a folder's or hub model's config says it is; a classifier unless it says otherwise."""
    from eval.classifier import open_config, opening

    try:
        with opening("detector", source):
            config = open_config(source)
    except UsageError as error:
        raise UsageError(
            f"{error}; give {', '.join(NAMES)}, or the folder "
            "or hub id of an image classifier, a CLIP model or a safety checker"
        ) from error
    if "StableDiffusionSafetyChecker" in (config.architectures or ()):
        return SAFETY_CHECKER
    return CLIP if config.model_type == "clip" else ""
