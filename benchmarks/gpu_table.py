"""Tables of what benchmarks/gpu.py measured, and what was aimed at beside it."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.common import table
from benchmarks.gpu_rows import CARD

Record = Mapping[str, Any]
SIZES = {"tiny": "tiny", "tiny-xl": "tiny SDXL", "sd15": "SD 1.5", "sdxl": "SDXL"}
_PEAK = "The peak is of tensors on a GPU; on a CPU of the whole process, which all tiny rows share."
_HEAD = (
    "",
    "images at once",
    "s a round",
    "images a second",
    "peak GB",
    "of the bare speed",
    "of the official speed",
)


def to_markdown(found: Mapping[str, Record]) -> str:
    """A line about the machine, the aims, then a table a size and part."""
    records = list(found.values())
    machines = sorted({f"{r['device']}, torch {r['torch']}" for r in records if "device" in r})
    parts = ["; ".join(machines) + f". {_PEAK}\n", table(("", "aim", "measured"), _aims(records))]
    groups = dict.fromkeys((r["size"], r["part"]) for r in records)
    for size, part in groups:
        rows = [r for r in records if (r["size"], r["part"]) == (size, part)]
        parts += [f"**{SIZES[size]}, {part}**\n", table(_HEAD, [_cells(r, rows) for r in rows])]
    return "\n".join(parts)


def speed(record: Record | None) -> float | None:
    """Images a second, if they were measured."""
    return record.get("images_a_second") if record else None


def ratio(one: float | None, other: float | None) -> float | None:
    """One in terms of the other, if both are known."""
    return one / other if one and other else None


def _one(records: list[Record], **wanted: Any) -> Record | None:
    """The record that has these values."""
    return next((r for r in records if all(r[k] == v for k, v in wanted.items())), None)


def _bare(record: Record, records: list[Record]) -> Record | None:
    """The bare passes in the same type, as they are."""
    return _one(records, way="bare", form="", dtype=record["dtype"], images=record["images"])


def _official(record: Record, records: list[Record]) -> Record | None:
    return _one(records, way="official", images=record["images"])


def _cells(record: Record, records: list[Record]) -> list[str]:
    name = ", ".join(filter(None, (record["way"], record["dtype"], record["form"])))
    if "error" in record:
        return [f"{name}: {record['error'].replace('|', ' ')}", *[""] * (len(_HEAD) - 1)]
    own = speed(record)
    ratios = [ratio(own, speed(of(record, records))) for of in (_bare, _official)]
    told = f" ({record['how']})" if record["how"] else ""
    return [
        name + told,
        str(record["at_once"]),
        f"{record['seconds']:.4g}",
        f"{own:.3g}",
        f"{record['peak_gb']:.2f}",
        *map(_number, ratios),
    ]


def _aims(records: list[Record]) -> Iterator[tuple[str, str, str]]:
    """Each aim for which something was measured, and what was."""
    for size in dict.fromkeys(r["size"] for r in records):
        own, name = [r for r in records if r["size"] == size], SIZES[size]
        training = [r for r in own if r["part"] == "training"]
        ours = _one(training, way="ours", form="")
        if ours:
            # Seconds: the other way around than speeds.
            bare = ratio(speed(_bare(ours, training)), speed(ours))
            yield f"a training step / the bare passes, {name}", "at most 1.10", _number(bare)
            official = _official(ours, training)
            if official:
                times = _number(ratio(speed(ours), speed(official)))
                yield f"the official step / ours, {name}", "at least 4", times
        small = _one(training, way="ours", form=CARD)
        if small:
            what, aim = _memory(size)
            yield what, aim, f"{small['peak_gb']:.2f}" if "peak_gb" in small else "failed"
        drawing = [r for r in own if r["part"] == "drawing"]
        sets = _one(drawing, way="sets", form="")
        if sets:
            told = _number(ratio(speed(sets), speed(_bare(sets, drawing))))
            yield f"sets drawn, of the bare UNet's speed, {name}", "at least 0.90", told


def _memory(size: str) -> tuple[str, str]:
    if size == "sdxl":
        return "peak of training SDXL's cross-attention, planned for 16 GB, GB", "at most 16"
    return "peak of training SD 1.5, density 0.5, planned for 12 GB, GB", "at most 10"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
