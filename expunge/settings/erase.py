"""The settings of every command: frozen dataclasses whose docstrings are the command line's help.

Nothing here imports torch, so that `--help` is instant.
"""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from expunge.settings.apply import Apply as Apply
from expunge.settings.apply import Undo as Undo
from expunge.settings.checks import require
from expunge.settings.classification import Classification as Classification
from expunge.settings.evaluate import EvaluateConcept as EvaluateConcept
from expunge.settings.evaluate import EvaluateQuality as EvaluateQuality
from expunge.settings.evaluate_i2p import EvaluateI2P as EvaluateI2P
from expunge.settings.export import Export as Export
from expunge.settings.groups import DataConfig, ModelArgs, SaliencyConfig, SalUnConfig, shown
from expunge.settings.presets import DEFAULTS, PRESETS, PresetName
from expunge.settings.report import Report as Report
from expunge.settings.verify import Verify as Verify

Flat = tyro.conf.OmitArgPrefixes
Concepts = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="CONCEPT [CONCEPT ...]", help_behavior_hint="(required)"),
]
MASK_DECIDES = ("density", "train_method", "saliency_guidance")
Settings = TypeVar("Settings", SaliencyConfig, SalUnConfig, DataConfig)


def _settled(config: Settings, preset: PresetName | None, lr: float | None = None) -> Settings:
    """Return a copy whose unsettled fields are filled from the preset, else from the defaults.

    `lr` is the model's own.
    """
    own = {"lr": lr} if lr else {}
    values = DEFAULTS | (PRESETS[preset] if preset else own)
    if isinstance(config, SalUnConfig):
        # A mask decides what a default would contradict.
        if config.mask is not None:
            values = {k: v for k, v in values.items() if k not in MASK_DECIDES}
        if config.mask_kind == "none":
            values = {k: v for k, v in values.items() if k != "density"}
    unsettled = [f.name for f in fields(config) if getattr(config, f.name) is None]
    return replace(config, **{name: values[name] for name in unsettled if name in values})


def _check_concepts(concepts: tuple[str, ...]) -> None:
    require(
        bool(concepts) and all(c.strip() for c in concepts),
        "CONCEPT is empty; name one, for example `church`, or give a .toml file",
    )


@dataclass(frozen=True)
class Erase:
    """Erase concepts from a Stable Diffusion model and write a run folder."""

    concepts: Concepts
    """What to erase, one or more: a shipped concept, free text in quotes, or a .toml file."""
    model: Flat[ModelArgs] = field(default_factory=ModelArgs)
    salun: Flat[SalUnConfig] = field(default_factory=SalUnConfig)
    data: Flat[DataConfig] = field(default_factory=DataConfig)
    out: Annotated[Path | None, shown("FOLDER", "runs/CONCEPT-HASH of config, seed, base")] = None
    """Run folder to write."""
    overwrite: bool = False
    """Start again in a folder that was used with other settings."""
    json: bool = False
    """Print one JSON object for machines instead of a table."""

    def __post_init__(self) -> None:
        """Refuse a blank concept."""
        _check_concepts(self.concepts)

    def resolve(self, lr: float | None = None) -> "Erase":
        """Return the same command with every preset-dependent field settled.

        `lr` is the learning rate that the model recommends, if it does.
        """
        preset = self.salun.preset
        salun = _settled(self.salun, preset, lr)
        data = _settled(self.data, preset)
        return replace(self, salun=salun, data=data)


@dataclass(frozen=True)
class Mask:
    """Build the saliency mask alone, print where it lies and draw it."""

    concepts: Concepts
    """What the mask is for: a shipped concept's name, free text in quotes, or a .toml file."""
    model: Flat[ModelArgs] = field(default_factory=ModelArgs)
    saliency: Flat[SaliencyConfig] = field(default_factory=SaliencyConfig)
    data: Flat[DataConfig] = field(default_factory=DataConfig)
    out: Annotated[Path | None, shown("FOLDER", "runs/mask-CONCEPT-HASH")] = None
    """Folder to write."""
    overwrite: bool = False
    """Start again in a folder that was used with other settings."""
    json: bool = False
    """Print one JSON object for machines instead of a table."""

    def __post_init__(self) -> None:
        """Refuse a blank concept."""
        _check_concepts(self.concepts)

    def resolve(self) -> "Mask":
        """Return the same command with every preset-dependent field settled."""
        preset = self.saliency.preset
        saliency = _settled(self.saliency, preset)
        data = _settled(self.data, preset)
        return replace(self, saliency=saliency, data=data)


@dataclass(frozen=True)
class Demo:
    """Erase church from the shipped miniature and show what became of it, in a few minutes."""

    out: Path = Path("runs/demo")
    """Run folder to write."""
    overwrite: bool = False
    """Start again in a folder that was used with other settings."""
    json: bool = False
    """Print one JSON object for machines instead of a table."""
