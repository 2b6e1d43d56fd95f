"""What was erased against what was kept: where each run is, and who is on the frontier."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from eval.compare.row import Row
from eval.concept.comparison import RETENTION, kept_rates
from eval.concept.kind import CONCEPT
from eval.depth.comparison import deepest, strongest
from eval.depth.kind import ATTACK
from eval.depth.results import Depth
from eval.metrics.frontier import Point, beaten_by
from eval.metrics.rates import mean_rate
from eval.metrics.schema import Metric


@dataclass(frozen=True)
class Axis:
    """One way to say how well a concept was erased."""

    name: str
    label: str
    of: Callable[[Row], Metric | Depth | None]
    better: int = 1
    """-1 where less is better."""


@dataclass(frozen=True)
class Spot:
    """A run in the plane, in percent."""

    number: int
    erased: Metric | Depth
    kept: Metric


@dataclass(frozen=True)
class Plane:
    """All runs that have both, and which of them no other one beats."""

    axis: Axis
    kept: tuple[str, ...]
    """The rates whose mean is retention."""
    lacking: Mapping[str, Sequence[int]]
    """Those that it leaves out, and the rows that have others of them and not this one."""
    retention: Mapping[int, Metric]
    """By number of the row."""
    spots: tuple[Spot, ...]
    beaten: Mapping[int, int | None]
    """By number of a spot's row, the number of one that beats it; None on the frontier."""

    @property
    def front(self) -> list[Spot]:
        """The spots on the frontier, the least erased first."""
        found = [spot for spot in self.spots if self.beaten[spot.number] is None]
        return sorted(found, key=lambda spot: (self.axis.better * spot.erased.value, spot.number))

    def clearly(self, number: int) -> bool:
        """Whether one that beats a row does so beyond the intervals, in one measure at least."""
        spots = {spot.number: spot for spot in self.spots}
        worse, better = spots[number], spots[self.beaten[number] or number]
        signs = ((worse.erased, better.erased, self.axis.better), (worse.kept, better.kept, 1))
        return any(
            min(sign * end for end in above.ci95) > max(sign * end for end in below.ci95)
            for below, above, sign in signs
        )

    @property
    def retention_label(self) -> str:
        """What retention is the mean of."""
        *most, last = self.kept or RETENTION
        names = f"mean of {', '.join(most)} and {last}" if most else last
        return f"retention: {names}, %"


def _depth(row: Row) -> Depth | None:
    measured = row.data.find(ATTACK)
    found = deepest(measured.evaluation) if measured else None
    return found[1] if found else None


def _success(row: Row) -> Metric | None:
    measured = row.data.find(ATTACK)
    found = strongest(measured.evaluation) if measured else None
    return found[1] if found else None


def _ua(row: Row) -> Metric | None:
    measured = row.data.find(CONCEPT)
    return measured.evaluation.erased.ua if measured else None


DEPTH = Axis("depth", "depth, % (100: as if it had never known it)", _depth)
SUCCESS = Axis("strongest attack", "strongest attack's success, % (right: less)", _success, -1)
UA = Axis("ua", "erased at its prompts: ua, %", _ua)


def find_plane(rows: Sequence[Row]) -> Plane:
    """Place the runs: by depth if all that were attacked have one, by their strongest attack else.

    By `ua` if none was attacked. Retention is the mean of ira, cra and near, weighed alike; one
    that some run lacks, which has another of them, is left out for all.
    """
    axis, found = _axis(rows), {row.number: _kept(row) for row in rows}
    judged = [rates for rates in found.values() if rates]
    names = tuple(name for name in RETENTION if judged and all(name in rates for rates in judged))
    lacking = {
        name: [number for number, rates in found.items() if rates and name not in rates]
        for name in RETENTION
        if name not in names and any(name in rates for rates in judged)
    }
    means = {n: mean_rate([rates[k] for k in names]) for n, rates in found.items() if rates}
    retention = {number: mean for number, mean in means.items() if mean}
    erased = {row.number: axis.of(row) for row in rows}
    spots = tuple(Spot(n, x, y) for n, y in retention.items() if (x := erased[n]) and _can_be(x))
    places = beaten_by([Point(axis.better * s.erased.value, s.kept.value) for s in spots])
    beaten = {
        spot.number: None if place is None else spots[place].number
        for spot, place in zip(spots, places, strict=True)
    }
    return Plane(axis, names, lacking, retention, spots, beaten)


def _can_be(share: Metric | Depth) -> bool:
    """Whether it is a share or a depth: a file may hold any number."""
    return all(-101 < x < 201 for x in (share.value, *share.ci95))


def _axis(rows: Sequence[Row]) -> Axis:
    attacked = [row for row in rows if row.data.find(ATTACK)]
    if attacked and all(map(_depth, attacked)):
        return DEPTH
    return SUCCESS if any(map(_success, attacked)) else UA


def _kept(row: Row) -> Mapping[str, Metric]:
    measured = row.data.find(CONCEPT)
    rates = kept_rates(measured.evaluation) if measured else {}
    return {name: metric for name, metric in rates.items() if _can_be(metric)}
