"""A concept's pictures: pairs of each split, drawn by a hash."""

from eval.generation.before_after_grid import spread
from eval.kind.measurement import Measurement
from eval.kind.pictures import Gallery, make_gallery
from plumbing.visible_text import plain
from prompts.evaluation_rows import CONTROL

SHOWN = {"forget": 8, "retain": 6, "near": 6, "cross": 6, "control": 6}


def concept_galleries(found: Measurement) -> list[Gallery]:
    """One a split: what was asked for, and what the judge saw."""
    concept = found.evaluation.concept
    name, kind = plain(concept.name, 80), plain(concept.kind, 20)
    headings = {
        "forget": f"Asked for {name}: should be something else",
        "retain": f"Asked for another {kind}: should look as before",
        "near": f"Asked for what is most like {name}: should look as before",
        "cross": f"{'Objects' if kind == 'style' else 'Styles'}: should look as before",
        "control": "Prompts of other things, all from one noise: should look as before",
    }
    seen = {(j.id, j.model): f"judged {plain(j.label, 40)}" for j in found.rows}
    drawn = found.generations.get("erased", {})
    caption = "Drawn by a hash of the prompt, not chosen by result."
    ids = {split: dict.fromkeys(j.id for j in found.rows if j.split == split) for split in headings}
    ids["control"] = dict.fromkeys(name for name in drawn if name.startswith(CONTROL))
    galleries = []
    for split, heading in headings.items():
        known = [name for name in ids[split] if name in drawn]
        shown = spread(known, SHOWN[split], lambda name: drawn[name].prompt)
        galleries.append(make_gallery(heading, caption, found, shown, seen=seen))
    return galleries
