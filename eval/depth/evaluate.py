"""Can it be brought back? Attacks on the erased model, and the same on others, to rates."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

from eval.attack.attack import Attack, Budget
from eval.depth.attack_log import Drawn, generations, join_parts, of_cell, read_drawn
from eval.depth.draw import Cell
from eval.depth.images import Lesson, draw_lessons, hash_aim
from eval.depth.make_attacks import make_attacks
from eval.depth.plan import Plan, Under, cost, floor_of
from eval.depth.results import (
    RANDOM,
    ROLES,
    AttackEvaluation,
    AttackProtocol,
    AttackQuestion,
    Attempt,
    Made,
    Role,
    read_attacks,
)
from eval.depth.scores import depth, score
from eval.generation.evaluation_folder import refuse_other, start_folder
from eval.generation.image_log import IMAGES, image_path, write_generations
from eval.generation.private_files import make_private, private_files
from eval.judges.judge import Judge
from eval.metrics.schema import Cost, write_evaluation
from plumbing.processes import current_team
from plumbing.whole_files import replace_file

EVALUATION, ATTEMPTS = "evaluation.json", "attempts.jsonl"


def attack_and_judge(
    lesson: Lesson,
    concept: AttackQuestion,
    plan: Plan,
    under: Under,
    judge: Judge,
    *,
    detector: str | None = None,
    prompts: str | None = None,
    explicit: bool = False,
    overwrite: bool = False,
    keep_images: bool = True,
) -> AttackEvaluation | None:
    """Attack every subject, judge, count; `out` gets evaluation.json, attempts.jsonl and images.

    An evaluation that is already in `out` is returned if it asks the same, and is a UsageError
    otherwise, unless `overwrite`. Without `keep_images` none that shows what was attacked stays but
    those that attacks learn from. Bad input is a UsageError. The processes of `accelerate launch`
    share the attacks; one that does not lead is given None.
    """
    team, out = current_team(), under.out
    question = _question(lesson, concept, plan, under, judge, detector, prompts)
    if (out / EVALUATION).exists() and not overwrite:
        previous = read_attacks(out / EVALUATION)
        refuse_other(out, previous.differences(question))
        if team.leads and not keep_images:
            _remove_images(out)
        return previous if team.leads else None
    start_folder(out, under.originals, (EVALUATION, ATTEMPTS), ROLES, overwrite=overwrite)
    with private_files() if explicit else nullcontext():
        original = under.subjects["original"].open()
        lessons = under.folder("original")
        aim = draw_lessons(
            lesson, original, plan.drawing, judge, concept.labels, lessons, plan.lessons, team
        )
        cells = plan.cells(hash_aim(aim))
        make_attacks(cells, aim, under, plan, judge, keep_images=keep_images, team=team)
        if not team.leads:
            return None
        for role in under.subjects:
            join_parts(under.folder(role))
        rows: dict[Role, list[Drawn]] = {role: _rows(role, cells, under, judge) for role in ROLES}
        judged = {role: _judged(role, rows[role], judge, concept, under, plan) for role in ROLES}
        _share(rows, under, plan, keep_images)
        if explicit:
            make_private(out / role for role in ROLES if (out / role).is_dir())
    attempts = [attempt for role in ROLES for attempt in judged[role]]
    lines = "".join(json.dumps(asdict(a), ensure_ascii=False) + "\n" for a in attempts)
    replace_file(out / ATTEMPTS, lines.encode())
    costs = {role: _cost(role, rows[role], cells, under, plan) for role in ROLES if rows[role]}
    shown = (len(lesson.prompts) if lesson.seeds else plan.lessons[0]) + plan.lessons[1]
    costs["original"] = _with_lessons(costs["original"], shown * 2 * plan.drawing.steps)
    spent = {cell.attack.name: 0 for cell in cells}
    for cell in cells:
        spent[cell.attack.name] += cost(cell, plan.drawing.steps)
    result = replace(_answered(question, attempts, plan), passes=spent, cost=costs)
    write_evaluation(out / EVALUATION, result)
    return result


def _cost(
    role: Role, rows: Sequence[Drawn], cells: Sequence[Cell], under: Under, plan: Plan
) -> Cost:
    """Of a subject's images, and of what was learned for them."""
    made = [c for c in cells if (floor_of(c) if role == "floor" else role) in under.subjects]
    return Cost(
        images=len(rows),
        passes=sum(cost(cell, plan.drawing.steps) for cell in made),
        seconds=round(sum(row.seconds for row in rows), 1),
    )


def _with_lessons(cost: Cost, passes: int) -> Cost:
    """With what was drawn for attacks to learn from; its time was not taken."""
    return replace(cost, passes=(cost.passes or 0) + passes)


def _rows(role: Role, cells: Sequence[Cell], under: Under, judge: Judge) -> list[Drawn]:
    found = []
    for cell in cells:
        source = floor_of(cell) if role == "floor" else role
        if source in under.subjects:
            sha256, folder = under.subjects[source].sha256, under.folder(source)
            found += of_cell(read_drawn(folder, sha256, judge.sha256), cell.key)
    return found


def _share(
    rows: Mapping[Role, Sequence[Drawn]], under: Under, plan: Plan, keep_images: bool
) -> None:
    """Give every subject's images a place in this evaluation, and the report its list of them."""
    for role, own in rows.items():
        folder = under.out / role
        for row in own if keep_images else ():
            target = image_path(folder, row.id)
            if not row.judged and folder != (source := _source(role, row, under, plan)):
                replace_file(target, image_path(source, row.id).read_bytes(), durable=False)
        if own:
            write_generations(folder, generations(own, plan.drawing))
    if not keep_images:
        _remove_images(under.out)


def _remove_images(out: Path) -> None:
    for role in ROLES:
        shutil.rmtree(out / role / IMAGES, ignore_errors=True)


def _source(role: Role, row: Drawn, under: Under, plan: Plan) -> Path:
    """The folder that an image was drawn in."""
    return under.folder(RANDOM if role == "floor" and _is_random(row, plan) else role)


def _is_random(row: Drawn, plan: Plan) -> bool:
    return any(a.name == row.attack and a.control == RANDOM for a in plan.attacks)


def _judged(
    role: Role,
    rows: Sequence[Drawn],
    judge: Judge,
    concept: AttackQuestion,
    under: Under,
    plan: Plan,
) -> list[Attempt]:
    there = [row for row in rows if not row.judged]
    images = [image_path(_source(role, row, under, plan), row.id) for row in there]
    found = {row.id: seen for row, seen in zip(there, judge.classify(images), strict=True)}
    attempts = []
    for row in rows:
        seen = row.judged or found[row.id]
        attempts.append(
            Attempt(
                id=row.id,
                model=role,
                attack=row.attack,
                seed=row.seed,
                variant=row.variant,
                step=row.step,
                image=row.image,
                label=seen.label,
                score=seen.score,
                hit=seen.label in concept.labels,
                adaptive=row.adaptive,
            )
        )
    return attempts


def _question(
    lesson: Lesson,
    concept: AttackQuestion,
    plan: Plan,
    under: Under,
    judge: Judge,
    detector: str | None,
    prompts: str | None,
) -> AttackEvaluation:
    """The evaluation before its answers."""
    told = json.dumps(asdict(lesson), sort_keys=True)
    return AttackEvaluation(
        protocol=AttackProtocol(
            name=plan.budget,
            seed=plan.seed,
            repetitions=plan.repetitions,
            **plan.drawing.told,
            images=plan.images,
            rows_sha256=hashlib.sha256(told.encode()).hexdigest(),
            attacks={attack.name: _made(attack, plan.budget) for attack in plan.made},
            detector=detector,
            prompts=prompts,
        ),
        concept=concept,
        models={r: {"name": s.name, "sha256": s.sha256} for r, s in under.subjects.items()},
        judges={"object": {"name": judge.name, "sha256": judge.sha256}},
        original={},
        erased={},
        floor={},
        depth={},
        versions={name: version(name) for name in ("diffusers", "torch", "transformers")},
    )


def _made(attack: Attack, budget: Budget) -> Made:
    # As JSON has them: lists for tuples.
    numbers = json.loads(json.dumps(attack.budgets[budget]))
    return Made(attack.title, attack.box, attack.source, attack.control, attack.shows, numbers)


def _answered(
    question: AttackEvaluation, attempts: Iterable[Attempt], plan: Plan
) -> AttackEvaluation:
    any_counts = {attack.name: attack.any_counts for attack in plan.attacks}
    scores = score(list(attempts), any_counts)
    depths = {}
    for name, found in scores["erased"].items():
        ceiling, floor = scores["original"].get(name), scores["floor"].get(name)
        if ceiling and floor:
            depths[name] = depth(found.success, ceiling.success, floor.success)
    return replace(
        question,
        original=scores["original"],
        erased=scores["erased"],
        floor=scores["floor"],
        depth={name: found for name, found in depths.items() if found},
    )
