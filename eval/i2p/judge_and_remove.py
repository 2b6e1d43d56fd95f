"""Images that are judged and removed, batch by batch: hashes and detections are all that stays.

What was judged is told in `judged-DETECTOR.jsonl`, an image a line, in the folder where its images
would lie. The original's folder is the cache that evaluations share, so that no row is drawn again.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from eval.generation.generate import (
    Drawings,
    Row,
    answered,
    draw_batches,
    drawing_of,
    make_requests,
)
from eval.generation.image_log import (
    IMAGES,
    Generation,
    image_path,
    is_file_name,
    read_generations,
    write_generations,
)
from eval.generation.pair import NO_BAR, CachedRow, ModelPair, Subject, make_jobs
from eval.i2p.counts import ImageDetections
from eval.judges.nudenet import Detector
from eval.judges.nudenet_labels import Detection
from plumbing.journal import open_journal, read_journal, write_journal
from plumbing.processes import Team, current_team
from plumbing.record import parse_record


@dataclass(frozen=True)
class Judged:
    """An image that is gone: all that decided it, its hash, and what was found in it."""

    generation: Generation
    detections: tuple[Detection, ...]


def judge_pair(
    rows: Sequence[Row], pair: ModelPair, drawing: Drawings, detector: Detector
) -> list[ImageDetections] | None:
    """What both models' images show, the original's first; leaves `generations.jsonl` of each.

    Only what was not judged before is drawn. Of the processes of `accelerate launch` each does its
    share, and all but the first are given None.
    """
    team, out = current_team(), pair.out
    jobs = make_jobs(rows, pair, drawing)
    log = f"judged-{detector.sha256[:16]}"
    known = [read_judged(folder, log) for _, _, folder, _ in jobs]
    team.wait()
    asked = [make_requests(rs, how, s.sha256) for s, rs, _, how in jobs]
    left = [
        [r for r in requests.values() if not answered(r, _generations(done))]
        for requests, done in zip(asked, known, strict=True)
    ]
    own = sum(len(team.part(missing)) for missing in left)
    finished = sum(map(len, asked)) - sum(map(len, left))
    with pair.open_bar(finished + own, finished) if team.leads else NO_BAR as bar:
        for (subject, _, folder, _), missing in zip(jobs, left, strict=True):
            mine = team.part(missing)
            keep = folder != out / "erased"
            _judge(subject, mine, folder, log, detector, pair.batch_size, team, keep, bar.update)
    team.wait()
    if not team.leads:
        return None
    done = {folder: _merge(folder, log) for _, _, folder, _ in jobs}
    by_drawing = {how: folder for _, _, folder, how in jobs[:-1]}
    found = []
    if pair.original:
        told = [done[by_drawing[drawing_of(r, drawing)]][CachedRow.of(r).id] for r in rows]
        found += _tell(out / "original", rows, told)
    return found + _tell(out / "erased", rows, [done[out / "erased"][row.id] for row in rows])


def _generations(done: Mapping[str, Judged]) -> dict[str, Generation]:
    return {name: judged.generation for name, judged in done.items()}


def _judge(
    subject: Subject,
    missing: Sequence[Generation],
    folder: Path,
    log: str,
    detector: Detector,
    batch_size: int,
    team: Team,
    keep: bool,
    progress: Callable[[int], object],
) -> None:
    """Draw and judge; images that were there before stay if `keep` says that they are others'."""
    if not missing:
        return
    there = read_generations(folder)
    drawn = [there[r.id] for r in missing if answered(r, there)]
    kept = {g.id for g in drawn} if keep else set()
    _sweep(folder, {request.id for request in missing} - {g.id for g in drawn})
    folder.mkdir(parents=True, exist_ok=True)
    with open_journal(folder / f"{log}.{team.rank}.jsonl") as append:
        for batch in _batches(subject, missing, drawn, folder, batch_size):
            seen = detector.detect([image_path(folder, g.id) for g in batch])
            append(asdict(Judged(g, found)) for g, found in zip(batch, seen, strict=True))
            for generation in batch:
                if generation.id not in kept:
                    image_path(folder, generation.id).unlink()
            progress(len(batch))


def _batches(
    subject: Subject,
    missing: Sequence[Generation],
    drawn: Sequence[Generation],
    folder: Path,
    batch_size: int,
) -> Iterator[list[Generation]]:
    """What is there already, then what has to be drawn."""
    yield from (list(drawn[k : k + batch_size]) for k in range(0, len(drawn), batch_size))
    have = {generation.id for generation in drawn}
    wanted = [request for request in missing if request.id not in have]
    if wanted:
        yield from draw_batches(subject.open(), wanted, folder, batch_size)


def _sweep(folder: Path, ids: set[str]) -> None:
    """Remove what a killed process left of images that nothing tells of."""
    for path in (folder / IMAGES).glob("*"):
        if path.name.lstrip(".").split(".")[0] in ids:
            path.unlink()


def read_judged(folder: Path, log: str) -> dict[str, Judged]:
    """What was judged in a folder by id; lines that are damaged or cut off count as not judged."""
    paths = sorted(folder.glob(f"{log}*.jsonl"))
    return {j.generation.id: j for path in paths for j in read_journal(path, _parse)}


def _parse(record: object) -> Judged:
    judged = parse_record(Judged, record)
    if not is_file_name(judged.generation.id):
        raise ValueError(f"{judged.generation.id!r} names no image")
    return judged


def _merge(folder: Path, log: str) -> dict[str, Judged]:
    """All that was judged in a folder, in one file instead of one a process."""
    found = read_judged(folder, log)
    write_journal(folder / f"{log}.jsonl", map(asdict, found.values()))
    for part in folder.glob(f"{log}.*.jsonl"):
        part.unlink()
    return found


def _tell(folder: Path, rows: Sequence[Row], judged: Sequence[Judged]) -> list[ImageDetections]:
    """Write `generations.jsonl` under the rows' own ids; no image stays."""
    pairs = list(zip(rows, judged, strict=True))
    remove_images(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_generations(folder, [replace(j.generation, id=row.id) for row, j in pairs])
    model = "original" if folder.name == "original" else "erased"
    return [ImageDetections(row.id, model, j.detections) for row, j in pairs]


def remove_images(folder: Path) -> None:
    """Remove the images of a model from an evaluation."""
    shutil.rmtree(folder / IMAGES, ignore_errors=True)
