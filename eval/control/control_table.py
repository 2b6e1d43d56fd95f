"""What control images show, as a table, and in the terminal."""

from eval.control.collapse import usable
from eval.kind.table import Table
from eval.metrics.rates import cell
from eval.metrics.schema import Evaluation


def control_table(title: str, evaluation: Evaluation) -> Table | None:
    """Whether the models draw anything at all, by control images; None without any."""
    control = evaluation.control
    if control is None:
        return None
    names = {
        "flat": "one flat colour, % of the images",
        "variety": "distance between images, % of the range of colours",
        "own": "nearer to the original's image of their own prompt, % (chance: 50)",
    }
    sides = (control.original, control.erased)
    rows = [(text, *(cell(getattr(s, key, None)) for s in sides)) for key, text in names.items()]
    notes = () if usable(control) else ("The original's own images are all alike: no comparison.",)
    caption = (
        f"{title}: {control.images} control images of other things, drawn from one noise, not "
        "judged [95 % interval]"
    )
    return Table(caption, ("", "original", "erased"), tuple(rows), notes)


def control_lines(evaluation: Evaluation) -> list[str]:
    """The same below a printed table, and in any case whether the model has collapsed."""
    table, lines = control_table("control", evaluation), []
    if table:
        rows = [("", *table.columns[1:]), *table.rows]
        lines = ["", table.caption]
        lines += [f"{name:67}{before:>22}{after:>22}" for name, before, after in rows]
        lines += [f"note: {note}" for note in table.notes]
    if evaluation.collapsed:
        lines += ["", f"COLLAPSED: the erased model is broken: {'; '.join(evaluation.collapsed)}"]
    return lines
