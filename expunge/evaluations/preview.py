"""The first picture of all: what the original draws at a concept's prompts."""

from pathlib import Path

from erase.models.companions import vocabulary
from eval.generation.before_after_grid import Section, draw_grid, spread
from eval.generation.generate import count_finished, generate
from eval.generation.image_log import image_path
from eval.generation.pair import ModelPair, make_jobs
from expunge.evaluations.models_under_test import drawing, find_models, find_place, pair_up
from expunge.settings.evaluate import EvaluateConcept
from plumbing.lock import locked
from prompts.concept import combine, load_concept
from prompts.evaluation_rows import concept_rows

COLUMNS = 8


def draw_preview(settings: EvaluateConcept, to: Path) -> None:
    """Draw the forget rows of a later evaluation by its TARGET, the original; a picture of some.

    The images are kept where that evaluation finds them.
    """
    place = find_place(settings, "concept")
    _, original = find_models(place)
    sampler = settings.sampler or original.architecture.sampler
    words = vocabulary(original)
    spec = combine([load_concept(concept, words) for concept in place.concepts])
    rows = [
        row
        for row in concept_rows(spec, words, settings.protocol, settings.seed)
        if row.split == "forget"
    ]
    alone = pair_up(place, original, original, settings, sampler=sampler)
    pair = ModelPair(**{**vars(alone), "original": alone.erased})
    how = drawing(original, original, settings, sampler=sampler)
    subject, wanted, folder, _ = make_jobs(rows, pair, how)[0]
    done = count_finished(wanted, folder, how, subject.sha256)
    lock = locked(place.originals, "--originals", wait=True)
    with lock, pair.open_bar(len(wanted), done) as bar:
        generate(
            subject.open() if done < len(wanted) else None,
            wanted,
            folder,
            how,
            model_hash=subject.sha256,
            batch_size=pair.batch_size,
            progress=bar.update,
        )
    shown = spread(wanted, COLUMNS, lambda row: row.prompt)
    files = [[image_path(folder, row.id) for row in shown]]
    heading = f"Prompts that ask for {spec.name}, before anything is erased"
    title = f"What the model draws of {spec.name}"
    draw_grid(to, title, ["original"], [Section(heading, [r.prompt for r in shown], files)])
