"""Control images that do not stay: drawn, looked at, removed."""

import shutil
from collections.abc import Sequence

from eval.control.collapse import look_at_control
from eval.generation.generate import Drawing, generate
from eval.generation.pair import ModelPair
from eval.metrics.schema import Control
from plumbing.processes import current_team
from prompts.evaluation_rows import PromptRow

FOLDER = ".control"


def pass_control(rows: Sequence[PromptRow], pair: ModelPair, drawing: Drawing) -> Control | None:
    """What the control rows' images show, which lie in the evaluation's folder only so long.

    After a kill they are found there and not drawn again. Of the processes of `accelerate launch`
    each draws its share, and only the first is told.
    """
    team, folder = current_team(), pair.out / FOLDER
    for model, subject in pair.subjects.items():
        if rows:
            generate(
                subject.open(),
                rows,
                folder / model,
                drawing,
                model_hash=subject.sha256,
                batch_size=pair.batch_size,
                team=team,
            )
    if not team.leads:
        return None
    seen = look_at_control(rows, folder, paired=pair.original is not None)
    shutil.rmtree(folder, ignore_errors=True)
    return seen
