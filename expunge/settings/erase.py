"""The settings of `expunge erase`, `mask` and `demo`; imports no torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_type_hints

import tyro

from expunge.settings.checks import require
from expunge.settings.groups import DRAWN, Data, DataFlags, ModelArgs, shown
from expunge.settings.methods import METHODS, MethodEntry
from expunge.settings.salun import MaskFlags, SalUnFlags
from expunge.settings.training import Saliency
from plumbing.errors import did_you_mean

Settled = TypeVar("Settled")
Flat = tyro.conf.OmitArgPrefixes
Concepts = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="CONCEPT [CONCEPT ...]", help_behavior_hint="(required)"),
]


Own = Callable[[str | None], Mapping[str, Any]]
"""What a model recommends for itself, given the sampler that was asked for, or its own."""


def method_entry(name: str) -> MethodEntry:
    """The method of a name; a UsageError lists near names."""
    hint = did_you_mean(name, METHODS, f"; one of {', '.join(METHODS)}")
    require(name in METHODS, f"--method {name}: no such method{hint}")
    return METHODS[name]


def _check_concepts(concepts: tuple[str, ...]) -> None:
    require(
        bool(concepts) and all(c.strip() for c in concepts),
        "CONCEPT is empty; name one, for example `church`, or give a .toml file",
    )


@dataclass(frozen=True)
class Erase:
    """Erase concepts from a Stable Diffusion model and write a run folder."""

    chosen: ClassVar[str] = ""
    """The words of a command line that decide which flags there are."""
    concepts: Concepts
    """What to erase, one or more: a shipped concept, free text in quotes, or a .toml file."""
    method: Annotated[str, shown("{" + ",".join(METHODS) + "}", "salun")] = "salun"
    """How; `expunge erase --method NAME --help` lists a method's own flags."""
    model: Flat[ModelArgs] = field(default_factory=ModelArgs)
    settings: Flat[Any] = field(default_factory=SalUnFlags)
    data: Flat[DataFlags] = field(default_factory=DataFlags)
    out: Annotated[Path | None, shown("FOLDER", "runs/CONCEPT-HASH of config, seed, base")] = None
    """Run folder to write."""
    overwrite: bool = False
    """Start again in a folder that was used with other settings."""
    dry_run: bool = False
    """Print what it will take on this machine (passes through the UNet, time, memory, disk), and
    stop."""
    json: bool = False
    """Print one JSON object for machines instead of a table."""

    def __post_init__(self) -> None:
        """Refuse a blank concept, and the flags of another method."""
        _check_concepts(self.concepts)
        flags = method_entry(self.method).flags
        require(
            isinstance(self.settings, flags),
            f"--method {self.method} takes the settings {flags.__name__}, "
            f"not {type(self.settings).__name__}",
        )

    def settle(self, own: Own) -> tuple[Any, Data]:
        """Every number of the method and of the sets."""
        return _settle(self.settings, self.data, method_entry(self.method), own)


@dataclass(frozen=True)
class Mask:
    """Build the saliency mask alone, print where it lies and draw it."""

    concepts: Concepts
    """What the mask is for: a shipped concept's name, free text in quotes, or a .toml file."""
    model: Flat[ModelArgs] = field(default_factory=ModelArgs)
    settings: Flat[MaskFlags] = field(default_factory=MaskFlags)
    data: Flat[DataFlags] = field(default_factory=DataFlags)
    out: Annotated[Path | None, shown("FOLDER", "runs/mask-CONCEPT-HASH")] = None
    """Folder to write."""
    overwrite: bool = False
    """Start again in a folder that was used with other settings."""
    json: bool = False
    """Print one JSON object for machines instead of a table."""

    def __post_init__(self) -> None:
        """Refuse a blank concept."""
        _check_concepts(self.concepts)

    def settle(self, own: Own) -> tuple[Saliency, Data]:
        """Every number of the mask and of the sets."""
        salun = METHODS["salun"]
        entry = MethodEntry(salun.module, MaskFlags, Saliency, salun.defaults, salun.presets)
        return _settle(self.settings, self.data, entry, own)


_NO_SETS = {"forget_images": 0, "retain_images": 0}
"""Of methods that need none."""


def _settle(flags: Any, data: DataFlags, entry: MethodEntry, own: Own) -> tuple[Any, Data]:
    preset = getattr(flags, "preset", None)
    require(
        preset is None or preset in entry.presets,
        f"--preset {preset}: none of this method's; one of {', '.join(entry.presets)}",
    )
    published = entry.presets[preset] if preset else {}
    sampler = data.sampler or published.get("sampler")
    usual = dict(own(sampler))
    if "lr" in usual:
        usual["lr"] *= entry.rate
    layers = [published, usual, entry.defaults, DRAWN, _NO_SETS]
    if getattr(flags, "mask_kind", None) == "none":
        layers.insert(0, {"density": 1.0})
    return settle(entry.settings, flags, *layers), settle(Data, data, *layers)


def erase_command(words: Sequence[str]) -> type[Erase]:
    """`Erase` with the flags of the method that a command line names."""
    return _with_flags_of(_value_of("--method", words) or "salun")


@cache
def _with_flags_of(method: str) -> type[Erase]:
    """One class for each method: settings are equal if all of them, and their class, are."""
    flags = method_entry(method).flags
    if flags is SalUnFlags:
        return Erase
    new = ("settings", Flat[flags], field(default_factory=flags))
    own = {"chosen": f" --method {method}"}
    return make_dataclass("Erase", [new], bases=(Erase,), frozen=True, namespace=own)


def _value_of(flag: str, words: Sequence[str]) -> str | None:
    """The last value of a flag, given as `--flag value` or `--flag=value`."""
    found = None
    for i, word in enumerate(words):
        if word == flag and i + 1 < len(words):
            found = words[i + 1]
        elif word.startswith(f"{flag}="):
            found = word.partition("=")[2]
    return found


def settle(kind: type[Settled], flags: Any, *layers: Mapping[str, Any]) -> Settled:
    """Fill each field of `kind` from the flags where one is given, else from the first layer."""
    values, hints = {}, get_type_hints(kind)
    for name in (each.name for each in fields(kind)):  # type: ignore[arg-type]
        value = getattr(flags, name)
        if value is None:
            value = next((layer[name] for layer in layers if name in layer), None)
        if value is None and type(None) not in get_args(hints[name]):
            raise TypeError(f"{kind.__name__}.{name} has no default")
        values[name] = value
    return kind(**values)


@dataclass(frozen=True)
class Demo:
    """Erase church from the shipped miniature, attack it, and show what became of it; minutes."""

    out: Path = Path("runs/demo")
    """Run folder to write."""
    overwrite: bool = False
    """Start again in a folder that was used with other settings."""
    json: bool = False
    """Print one JSON object for machines instead of a table."""
