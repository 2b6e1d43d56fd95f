"""What attacks learn from: images that the original draws, kept if the judge sees the concept."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from eval.attack.attack import Aim, turns
from eval.attack.attackable import Attackable
from eval.generation.generate import Drawing
from eval.generation.image_log import png_bytes
from eval.judges.judge import Judge
from plumbing.errors import UsageError
from plumbing.processes import ALONE, Team
from plumbing.whole_files import replace_file

COUNT = 32
"""Images of the concept, and of other things, unless fewer are asked for."""
AT_ONCE = 16
"""Images drawn before they are written."""
LEAST = 8
"""Fewer images of the concept teach no attack anything."""
_SEED = 2**24
"""Of the first image, apart from those that evaluations draw with."""
_OTHERS = 2 * _SEED


@dataclass(frozen=True)
class Lesson:
    """What the images are drawn from; see `Aim`."""

    name: str
    words: str
    templates: tuple[str, ...]
    prompts: tuple[str, ...]
    probes: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    other_prompts: tuple[str, ...]
    seeds: tuple[int, ...] = ()
    """Of the images of `prompts`, an image each; without any, the prompts are drawn in turn."""
    surest: float = 0.0
    """What the judge's score of an image of the concept must exceed."""


def draw_lessons(
    lesson: Lesson,
    original: Attackable,
    drawing: Drawing,
    judge: Judge,
    labels: Sequence[str],
    folder: Path,
    counts: tuple[int, int] = (COUNT, COUNT),
    team: Team = ALONE,
) -> Aim:
    """Draw what is missing under `folder`, and keep the images in which the concept is seen.

    `counts` are of images of the concept, where the lesson has no seeds, and of other things. Each
    process of a `team` draws its share, and is told what the leader's judge saw. UsageError if the
    original draws the concept too rarely to attack with.
    """
    told = json.dumps([asdict(lesson), asdict(drawing)], sort_keys=True)
    place = folder / f"lesson-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    others = turns(lesson.other_prompts, counts[1])
    prompts = list(lesson.prompts) if lesson.seeds else turns(lesson.prompts, counts[0])
    seeds = lesson.seeds or range(_SEED, _SEED + counts[0])
    other_seeds = range(_OTHERS, _OTHERS + counts[1])
    files = _drawn(original, prompts, place / "concept", seeds, team)
    kept = _kept(files, judge, labels, lesson.surest, original, team)
    if len(kept) < LEAST:
        raise UsageError(
            f"{lesson.name}: the original's images show it in {len(kept)} of {len(files)}, fewer "
            f"than the {LEAST} that attacks need; check the concept's forget prompts, or name "
            "another --detector"
        )
    return Aim(
        name=lesson.name,
        words=lesson.words,
        templates=lesson.templates,
        prompts=tuple(prompts[i] for i in kept) if lesson.seeds else lesson.prompts,
        probes=lesson.probes,
        pairs=lesson.pairs,
        images=tuple(files[i] for i in kept),
        captions=tuple(prompts[i] for i in kept),
        others=tuple(_drawn(original, others, place / "others", other_seeds, team)),
        other_captions=tuple(others),
        original=original,
    )


def hash_aim(aim: Aim) -> str:
    """Of all that decides what attacks do: the original, and what they learn from."""
    files = [hashlib.sha256(p.read_bytes()).hexdigest() for p in (*aim.images, *aim.others)]
    words = [aim.name, aim.words, aim.templates, aim.prompts, aim.probes, aim.pairs]
    told = [*words, aim.captions, aim.other_captions, files, aim.original.sha256]
    told.append(aim.original.usual_lr)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _kept(
    files: Sequence[Path],
    judge: Judge,
    labels: Sequence[str],
    surest: float,
    original: Attackable,
    team: Team,
) -> list[int]:
    """The numbers of the images in which the concept is seen, by the leader's judge.

    Were each process to judge, a score at the edge might be another on another card.
    """
    good = [0] * len(files)
    if team.leads:
        good = [int(p.label in labels and p.score > surest) for p in judge.classify(files)]
    told = team.total(good, next(original.denoiser.parameters()).device)
    return [i for i, seen in enumerate(told) if seen]


def _drawn(
    model: Attackable, prompts: Sequence[str], folder: Path, seeds: Sequence[int], team: Team
) -> list[Path]:
    """A file a prompt; of several processes each draws some of the batches that one would draw."""
    files = [folder / f"{i:04d}.png" for i in range(len(prompts))]
    missing = [i for i, file in enumerate(files) if not file.is_file()]
    # Nobody draws before all have seen what is missing.
    team.wait()
    folder.mkdir(parents=True, exist_ok=True)
    batches = [missing[start : start + AT_ONCE] for start in range(0, len(missing), AT_ONCE)]
    for batch in team.part(batches):
        told = model.encode([prompts[i] for i in batch])
        found = model.decode(model.denoise(model.noise([seeds[i] for i in batch]), told))
        for i, image in zip(batch, found, strict=True):
            replace_file(files[i], png_bytes(image), durable=False)
    team.wait()
    return files
