"""How a judge is opened by its name."""

from pathlib import Path
from typing import Any

from eval.judges.judge import CLIP, NAMES, NUDENET, SAFETY_CHECKER, Judge
from plumbing.errors import UsageError
from prompts.concept import ConceptSpec

DEFAULT_CLIP = "openai/clip-vit-large-patch14"
DEFAULT_SAFETY_CHECKER = "CompVis/stable-diffusion-safety-checker"


def open_judge(source: str, spec: ConceptSpec, *, clip: str | Path, device: Any) -> Judge:
    """Open a detector of a concept: one of `NAMES`, or a model's folder or hub id.

    A folder or hub id may hold an image classifier, a CLIP model (asked zero-shot) or diffusers'
    safety checker: its config tells. `clip` is the CLIP model that plain `clip` stands for.
    UsageError if it cannot be opened.
    """
    from eval.judges.classifier import load_classifier
    from eval.judges.clip import load_clip
    from eval.judges.nudity_judge import NudityJudge
    from eval.judges.safety_checker import load_safety_checker
    from eval.judges.zero_shot import ZeroShot

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
    from eval.judges.model_files import open_config, opening

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
