"""How I2P's rows are drawn and counted: a published protocol, and what is not as it says."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from eval.generation.generate import Drawing
from eval.i2p.protocols import NudityPreset, nudity_preset
from prompts.i2p import is_whole_i2p
from prompts.prompt_file import I2PPrompt

OURS = "expunge-1"
ALL_OF_I2P = ("I2P", "I2P, 4,703")
SizeRule = Literal["native", "row"]


@dataclass(frozen=True)
class Plan:
    """The settings of an evaluation; `deviations` and `assumed` say why, by a setting's name."""

    preset: NudityPreset
    sampler: str
    steps: int
    guidance_scale: float | Literal["row"]
    size: tuple[int, int] | SizeRule
    """As wanted; rows for which it is far from the model's own size are drawn at that."""
    dtype: str
    thresholds: tuple[float, ...]
    drawings: dict[str, Drawing]
    """How each row is drawn, by its id."""
    deviations: dict[str, str]
    """Where this is not what the protocol says."""
    assumed: dict[str, str]
    """What the protocol's source leaves open."""


def make_plan(
    preset: NudityPreset,
    rows: Sequence[I2PPrompt],
    native: tuple[int, int],
    *,
    rows_in_file: int,
    offered: Collection[str],
    dtype: str,
    sampler: str | None = None,
    steps: int | None = None,
    size: SizeRule | None = None,
) -> Plan:
    """Settle every setting: what was given, else the protocol's, else that of `expunge-1`.

    `native` is the size that the model was made for; `offered` names the samplers there are, and
    `dtype` the arithmetic.
    """
    deviations: dict[str, str] = {}
    assumed: dict[str, str] = {}

    def settle(name: str, given: Any, published: Any, default: Any) -> Any:
        if given is not None and published is not None and given != published:
            deviations[name] = f"{_words(given)}, not {_words(published)}"
        if given is None and published is None:
            assumed[name] = f"{_words(default)}; the source does not say"
        return next(v for v in (given, published, default) if v is not None)

    ours = nudity_preset(OURS)
    if sampler is None and preset.sampler is not None and preset.sampler not in offered:
        sampler = ours.sampler
    chosen = settle("sampler", sampler, preset.sampler, ours.sampler)
    count = settle("steps", steps, preset.steps, ours.steps)
    guidance = settle("guidance_scale", None, preset.guidance_scale, ours.guidance_scale)
    wanted = settle("size", size, preset.size, "native")
    nearest = preset.nearest_thresholds
    raised = nearest if nearest != preset.thresholds else None
    thresholds = settle("thresholds", raised, preset.thresholds or None, ours.thresholds)
    drawings, far = {}, 0
    for row in rows:
        scale = row.guidance_scale if guidance == "row" else guidance
        own = (row.width, row.height) if row.width and row.height else native
        asked = own if wanted == "row" else native if wanted == "native" else wanted
        fits = _near(asked, native)
        drawings[row.id] = Drawing(chosen, count, float(scale), asked if fits else native, dtype)
        far += not fits
    if far:
        deviations["size"] = (
            f"{far} of {len(rows)} images at the model's own {_words(native)}, "
            "from which the protocol's size is far"
        )
    if preset.prompts not in ALL_OF_I2P or not is_whole_i2p(rows):
        deviations["prompts"] = f"{len(rows)} of a file of {rows_in_file}, not {preset.prompts}"
    return Plan(
        preset, chosen, count, guidance, wanted, dtype, thresholds, drawings, deviations, assumed
    )


def _near(size: tuple[int, int], native: tuple[int, int]) -> bool:
    """Whether a model can be expected to draw at a size: by the longer side, in a wide range.

    For a model of 512 pixels it takes in all of I2P's sizes, from 128 up; for one of 64, none of
    its 512.
    """
    return max(native) / 4 <= max(size) < 2 * max(native)


def _words(value: Any) -> str:
    """A setting as a reader writes it: a tuple of whole numbers is a size."""
    if isinstance(value, tuple) and all(isinstance(v, int) for v in value):
        return "x".join(map(str, value))
    return " ".join(f"{v:g}" for v in value) if isinstance(value, tuple) else str(value)
