"""Who is on the frontier and who is beaten, in sentences."""

from collections.abc import Iterator, Sequence

from eval.compare.plane import Plane
from eval.compare.row import Row, name_rows


def standing(rows: Sequence[Row], plane: Plane) -> list[str]:
    """The frontier, who is beaten by whom, who has no place, and what retention leaves out."""
    return list(_sentences({row.number: row for row in rows}, plane))


def _sentences(rows: dict[int, Row], plane: Plane) -> Iterator[str]:
    if not plane.spots:
        yield "There is no frontier: of no run both what was erased and what was kept is known."
        return
    front = [rows[n] for n, other in plane.beaten.items() if other is None]
    shown = ", ".join(f"{row.label} ({row.verdict.word.lower()})" for row in front)
    yield f"On the frontier of {plane.axis.name} and retention, by the point estimates: {shown}."
    beaten = "; ".join(
        f"{rows[n].label} by {other}" + ("" if plane.clearly(n) else ", within the intervals")
        for n, other in plane.beaten.items()
        if other is not None
    )
    if beaten:
        yield f"Beaten (better in neither, worse in one or both): {beaten}."
    if left := [row.label for number, row in rows.items() if number not in plane.beaten]:
        yield f"Not placed, for lack of figures: {', '.join(left)}."
    for name, numbers in plane.lacking.items():
        lacks = "lacks" if len(numbers) == 1 else "lack"
        yield f"Retention leaves {name} out, which {name_rows(numbers)} {lacks}."
