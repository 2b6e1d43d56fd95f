"""The real NudeNet model on real photographs, on none, on raw output by hand, and on bad files."""

import hashlib
import io
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from nudenet import NudeDetector, nudenet
from PIL import Image

from eval.i2p.counts import ImageDetections, count
from eval.judges import nudenet as module
from eval.judges.nudenet import SIDE, Detector, decode, load_detector
from eval.judges.nudenet_labels import LABELS, NUDENET_VERSION, Detection
from plumbing.errors import UsageError

UPSTREAM_LABELS = getattr(nudenet, "__labels")
# Ratios, padding and size of an image that needs no scaling.
FRAME = (1.0, 1.0, 0, 0, SIDE, SIDE)
HOPPER = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
MUSIC = Path("/usr/share/gcompris-qt/rcc/explore_world_music.rcc")
MUSICIAN = "b7e0bc6da6f9fd8b2ae453f9a4a7021e5439bbd8944d4566b938134c0fa24951"


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector()


@pytest.fixture(scope="module")
def musician(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A barefoot man with a didgeridoo: "Australia Aboriginal Culture 009", Steve Evans, CC BY 2.0.

    GCompris has the WebP file, as it is, in the middle of a Qt resource file.
    """
    if not MUSIC.is_file():
        pytest.skip("no photograph of bare feet: apt-get install gcompris-qt-data")
    data = MUSIC.read_bytes()
    for found in re.finditer(rb"RIFF(....)WEBP", data, re.DOTALL):
        image = data[found.start() :][: 8 + int.from_bytes(found[1], "little")]
        if hashlib.sha256(image).hexdigest() == MUSICIAN:
            path = tmp_path_factory.mktemp("photographs") / "musician.png"
            # Without its colour profile, which NudeNet itself does not look at.
            with Image.open(io.BytesIO(image)) as photograph:
                photograph.save(path, icc_profile=None)
            return path
    pytest.skip("the installed gcompris-qt-data has another photograph than release 3.1")


def raw_output(*boxes: tuple[str, float, tuple[float, float, float, float]]) -> np.ndarray:
    """Raw output as the model gives it: centre, size and a score a label, 2,100 boxes."""
    raw = np.zeros((1, 4 + len(UPSTREAM_LABELS), 2100), np.float32)
    for place, (label, score, box) in enumerate(boxes):
        raw[0, :4, 7 * place] = box
        raw[0, 4 + UPSTREAM_LABELS.index(label), 7 * place] = score
    return raw


def upstream_detections(found: list[dict]) -> tuple[Detection, ...]:
    return tuple(Detection(d["class"], d["score"], tuple(d["box"])) for d in found)


def test_what_a_result_records(detector: Detector) -> None:
    assert detector.version == NUDENET_VERSION == "3.4.2"
    assert detector.name == "nudenet/320n.onnx"
    model = Path(nudenet.__file__).with_name("320n.onnx").read_bytes()
    assert detector.sha256 == hashlib.sha256(model).hexdigest()
    assert detector.sha256.startswith("c15d8273adad2d0a")


def test_our_labels_are_the_models(detector: Detector) -> None:
    assert set(LABELS) == set(UPSTREAM_LABELS) and len(LABELS) == len(UPSTREAM_LABELS)


def test_another_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "version", lambda name: "3.0.8")
    with pytest.raises(UsageError, match=r"3\.0\.8 is installed .* pip install nudenet==3\.4\.2"):
        load_detector()


def test_a_face_is_found_in_the_astronaut(detector: Detector) -> None:
    skimage = pytest.importorskip("skimage")
    path = Path(skimage.__file__).parent / "data" / "astronaut.png"
    (found,) = detector.detect_one(path)
    assert (found.label, found.box) == ("FACE_FEMALE", (173, 82, 102, 98))
    assert found.score == pytest.approx(0.7203, abs=0.002)
    assert detector.detect_one(path) == upstream_detections(NudeDetector().detect(str(path)))


def test_a_photograph_is_judged_as_by_nudenet_itself(detector: Detector, tmp_path: Path) -> None:
    """Grace Hopper's portrait (U.S. Navy, public domain), which matplotlib brings."""
    path = tmp_path / "hopper.png"
    with Image.open(HOPPER) as photograph:
        photograph.save(path)
    found = detector.detect_one(path)
    assert found == upstream_detections(NudeDetector().detect(str(path)))
    assert found and found[0].label.startswith("FACE_")


def test_the_moon_counts_as_a_belly(detector: Detector) -> None:
    """A count tells what NudeNet saw: it takes round, shaded things without anybody for bodies."""
    skimage = pytest.importorskip("skimage")
    path = Path(skimage.__file__).parent / "data" / "moon.png"
    found = detector.detect_one(path)
    assert found == upstream_detections(NudeDetector().detect(str(path)))
    assert [d.label for d in found] == ["BELLY_EXPOSED"] * 2
    assert [d.score for d in found] == pytest.approx([0.3882, 0.2677], abs=0.002)
    images = [ImageDetections("moon", "original", found)]
    assert [count(images, t).total for t in (0.25, 0.3, 0.4)] == [2, 1, 0]


def test_what_is_bare_counts_and_what_is_covered_does_not(
    detector: Detector, musician: Path
) -> None:
    """One bare foot is found; the three others, a shod foot, a hip and a breast, are mistakes."""
    found = detector.detect_one(musician)
    assert found == upstream_detections(NudeDetector().detect(str(musician)))
    scores = {d.label: d.score for d in found}
    assert scores == pytest.approx(
        {
            "FEET_COVERED": 0.5838,
            "FEET_EXPOSED": 0.4425,
            "BUTTOCKS_EXPOSED": 0.3609,
            "FEMALE_BREAST_COVERED": 0.2764,
        },
        abs=0.002,
    )
    images = [ImageDetections("0", "original", found)]
    assert [count(images, t).total for t in (0.25, 0.4, 0.5)] == [2, 1, 0]
    assert count(images, 0.25, ["FEET_EXPOSED", "FEET_COVERED"]).total == 2


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        # Where the middles of both feet and the armpit are, as seen by eye.
        (
            (0, 600, 683, 1024),
            [("FEET_EXPOSED", 0.654, (265, 345)), ("FEET_EXPOSED", 0.351, (570, 330))],
        ),
        ((60, 0, 500, 500), [("ARMPITS_EXPOSED", 0.504, (147, 325))]),
    ],
    ids=["feet", "armpit"],
)
def test_bare_parts_are_found_where_they_are(
    detector: Detector,
    musician: Path,
    tmp_path: Path,
    part: tuple[int, int, int, int],
    expected: list[tuple[str, float, tuple[int, int]]],
) -> None:
    path = tmp_path / "part.png"
    with Image.open(musician) as photograph:
        photograph.convert("RGB").crop(part).save(path)
    found = detector.detect_one(path)
    assert found == upstream_detections(NudeDetector().detect(str(path)))
    assert [d.label for d in found] == [label for label, _, _ in expected]
    for detection, (_, score, (x, y)) in zip(found, expected, strict=True):
        assert detection.score == pytest.approx(score, abs=0.003)
        left, top, width, height = detection.box
        assert left < x < left + width and top < y < top + height
        # Neither a speck nor half of the picture.
        assert 40 <= min(width, height) <= max(width, height) <= 140


def test_the_same_whatever_the_number_of_workers(detector: Detector, tmp_path: Path) -> None:
    paths = []
    with Image.open(HOPPER) as photograph:
        for turn in range(4):
            paths.append(tmp_path / f"{turn}.png")
            photograph.rotate(5 * turn).save(paths[-1])
    one = list(detector.detect(paths, workers=1))
    assert one == list(detector.detect(paths, workers=3)) == [*map(detector.detect_one, paths)]
    assert len({found[0].score for found in one if found}) > 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1"])
def test_nothing_is_found_where_nothing_is(detector: Detector, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "grey.png"
    Image.new("RGB", (60, 40), "#808080").convert(mode).save(path)
    assert list(detector.detect([path])) == [()]
    assert list(detector.detect([])) == []


def test_raw_output_by_hand() -> None:
    """Boxes are centre and size: (100, 120, 40, 60) begins at (80, 90).

    0.24 is below 0.25. The belly is dropped for the breast: they overlap by
    40 * 60 / (40 * 64) = 0.94, more than 0.45, and its score is less. The feet stand apart.
    """
    raw = raw_output(
        ("BELLY_EXPOSED", 0.5, (100, 122, 40, 64)),
        ("FEMALE_BREAST_EXPOSED", 0.75, (100, 120, 40, 60)),
        ("FEET_EXPOSED", 0.3, (250, 290, 20, 20)),
        ("ANUS_EXPOSED", 0.24, (20, 20, 10, 10)),
    )
    found = decode(raw, FRAME)
    assert [(d.label, d.box) for d in found] == [
        ("FEMALE_BREAST_EXPOSED", (80, 90, 40, 60)),
        ("FEET_EXPOSED", (240, 280, 20, 20)),
    ]
    images = [ImageDetections("0", "erased", found), ImageDetections("1", "erased", ())]
    assert [count(images, t).total for t in (0.25, 0.35, 0.75, 0.8)] == [2, 1, 1, 0]


@pytest.mark.parametrize("likely", [0, 1, 2, 40])
def test_leaving_out_unlikely_boxes_changes_nothing(likely: int) -> None:
    random = np.random.default_rng(likely)
    raw = raw_output()
    raw[0, :4] = random.uniform(1, SIDE, (4, 2100))
    raw[0, 4:] = random.uniform(0, 0.19, raw[0, 4:].shape)
    for place in random.choice(2100, likely, replace=False):
        raw[0, 4 + random.integers(18), place] = random.uniform(0.2, 1)
    x_ratio, y_ratio, x_pad, y_pad, width, height = frame = (1.0, 1.6, 0, 192, 512, 320)
    whole = nudenet._postprocess([raw], x_pad, y_pad, x_ratio, y_ratio, width, height, SIDE, SIDE)
    assert decode(raw, frame) == upstream_detections(whole)


def test_broken_images_are_refused(detector: Detector, tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(whole)
    data = whole.read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
    for content in (data[:middle], flipped, b"", b"no image"):
        broken = tmp_path / "broken.png"
        broken.write_bytes(content)
        with pytest.raises(UsageError, match=r"broken\.png is not a readable image"):
            list(detector.detect([whole, broken, whole]))
    with pytest.raises(UsageError, match=r"none\.png is not a readable image"):
        detector.detect_one(tmp_path / "none.png")


def test_sixteen_bits_are_judged_as_eight(detector: Detector, tmp_path: Path) -> None:
    path, deep = tmp_path / "grey.png", tmp_path / "deep.png"
    with Image.open(HOPPER) as photograph:
        grey = np.asarray(photograph.convert("L"))
    Image.fromarray(grey).save(path)
    Image.fromarray(grey.astype(np.uint16) * 257).save(deep)
    assert detector.detect_one(deep) == detector.detect_one(path) != ()
