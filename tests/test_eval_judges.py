"""Detectors of a concept: each kind on real (tiny) models, and which is chosen for what."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from support.contents import LFS
from support.erased_runs import MakeRun
from support.tiny_models import save_judge
from transformers import CLIPConfig

from erase.models.locate import locate
from eval.concept.kind import CONCEPT
from eval.judges.classifier import load_classifier
from eval.judges.clip import load_clip
from eval.judges.judge import Prediction
from eval.judges.nudenet_labels import EXPOSED, Detection
from eval.judges.nudity_judge import NOTHING, NudityJudge
from eval.judges.open_judge import open_judge
from eval.judges.safety_checker import load_safety_checker
from eval.judges.zero_shot import ZeroShot
from expunge.cli import main
from expunge.evaluations.concept import evaluate_concept
from expunge.evaluations.judge_choice import choose_judges
from expunge.settings.evaluate import EvaluateConcept
from plumbing.errors import UsageError
from prompts.concept import ConceptSpec, load_concept
from prompts.evaluation_rows import described
from prompts.imagenette import CLASSES, VOCABULARY
from prompts.naming import named_labels

IMAGENET = (
    "tench, Tinca tinca",
    "goldfish, Carassius auratus",
    "English springer, English springer spaniel",
    "cassette player",
    "chain saw, chainsaw",
    "church, church building",
    "French horn, horn",
    "garbage truck, dustcart",
    "gas pump, gasoline pump, petrol pump, island dispenser",
    "golf ball",
    "parachute, chute",
)
"""As `microsoft/resnet-50` words the ten, and one more."""


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """A dark, a light and a striped picture."""
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = 255
    paths = []
    for name, pixels in (("dark", stripes * 0), ("light", stripes * 0 + 255), ("lines", stripes)):
        paths.append(tmp_path / f"{name}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """An untrained classifier with ImageNet's wording."""
    save_judge(tmp_path / "resnet", IMAGENET)
    return tmp_path / "resnet"


@pytest.fixture
def checker(tmp_path: Path, clip_folder: Path) -> Path:
    """An untrained safety checker that finds nothing: no cosine reaches 2."""
    torch.manual_seed(0)
    config = CLIPConfig.from_pretrained(clip_folder)
    model = StableDiffusionSafetyChecker(config)
    model.concept_embeds_weights.data.fill_(2)
    model.special_care_embeds_weights.data.fill_(2)
    model.save_pretrained(tmp_path / "checker")
    shutil.copy(clip_folder / "preprocessor_config.json", tmp_path / "checker")
    return tmp_path / "checker"


@pytest.fixture
def judgeless(model_folder: Path, tmp_path: Path) -> Path:
    """The tiny model without judges, as every real checkpoint is."""
    folder = tmp_path / "judgeless"
    shutil.copytree(model_folder, folder)
    shutil.rmtree(folder / "judge")
    return folder


def settings(target: Path, out: Path, **changes: Any) -> EvaluateConcept:
    quick = EvaluateConcept(
        target=str(target), out=out, protocol="demo", steps=1, batch_size=32, device="cpu"
    )
    return replace(quick, **changes)


@pytest.mark.parametrize(
    ("names", "labels", "found"),
    [
        (["church"], ["church, church building", "dog"], ["church, church building"]),
        (["English springer"], ["english_springer"], ["english_springer"]),
        (["horn"], ["French horn, horn", "horned viper, horned asp"], ["French horn, horn"]),
        (["building"], ["church, church building"], []),
        (["cassette-player", "dog"], ["dog", "Cassette Player"], ["dog", "Cassette Player"]),
    ],
)
def test_labels_are_found_by_any_of_their_words(
    names: Sequence[str], labels: Sequence[str], found: Sequence[str]
) -> None:
    assert list(named_labels(names, labels)) == found


def test_zero_shot_names_the_concept_by_its_share(clip_folder: Path, pictures: list[Path]) -> None:
    """The texts are put where the pictures lie, so that the shares are known.

    A text of the concept and one of a dog at the same place share by halves, which is not enough;
    two of the concept and one of a dog by 2/3 to 1/3, which is.
    """
    clip = load_clip(clip_folder)
    clip.model.logit_scale.data.fill_(np.log(100))
    features = clip.image_features(pictures)
    names = ("church", "a dog", "church")
    judge = ZeroShot(clip, features, names, ("church",))
    seen = list(judge.classify(pictures, batch_size=2))
    logits = 100 * features.astype(float) @ features.T
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for row, prediction in zip(shares, seen, strict=True):
        mass = row[0] + row[2]
        assert prediction.label == ("church" if mass > 0.5 else "a dog")
        assert prediction.score == pytest.approx(mass if mass > 0.5 else row[1], abs=2e-6)
    assert {p.label for p in seen} == {"church", "a dog"}
    even = ZeroShot(clip, features[[0, 0]], ("church", "a dog"), ("church",))
    assert next(even.classify(pictures[:1])) == Prediction("a dog", 0.5)
    most = ZeroShot(clip, features[[0, 0, 0]], names, ("church",))
    assert next(most.classify(pictures[:1])) == Prediction("church", 0.666667)
    assert judge.labels == ("church", "a dog")
    other = ZeroShot(clip, features, ("church", "a cat", "church"), ("church",))
    assert judge.sha256 != other.sha256


@pytest.mark.parametrize("concept", ["nudity", "van gogh", "church", "yellow submarine"])
def test_texts_of_other_things_never_name_the_concept(concept: str) -> None:
    spec = load_concept(concept)
    shown, others = described(spec)
    assert shown == spec.forget_prompts and len(others) > len(shown)
    assert not [text for text in others if spec.named_in(text)]


def test_the_safety_checker_blacks_out_what_its_concepts_are(
    checker: Path, pictures: list[Path]
) -> None:
    judge = load_safety_checker(checker)
    assert [p.label for p in judge.classify(pictures, batch_size=2)] == ["safe"] * 3
    # The second picture's own embedding becomes a concept: none but it reaches a cosine of 1.
    inputs = judge.processor(images=[Image.open(pictures[1])], return_tensors="pt")
    with torch.no_grad():
        pooled = judge.model.vision_model(inputs["pixel_values"])[1]
        embedding = judge.model.visual_projection(pooled)
    model = StableDiffusionSafetyChecker.from_pretrained(checker)
    model.concept_embeds.data[0] = embedding[0]
    model.concept_embeds_weights.data[0] = 0.998
    model.save_pretrained(checker)
    again = load_safety_checker(checker)
    assert [p.label for p in again.classify(pictures)] == ["safe", "unsafe", "safe"]
    assert again.sha256 != judge.sha256


@dataclass(frozen=True)
class Found:
    """What a detector has found already."""

    detections: tuple[tuple[Detection, ...], ...]
    name: str = "nudenet/320n.onnx"
    version: str = "3.4.2"
    sha256: str = "0"

    def detect(self, images: Sequence[Path]) -> Iterator[tuple[Detection, ...]]:
        yield from self.detections


def test_nakedness_is_more_than_feet() -> None:
    def part(label: str, score: float) -> Detection:
        return Detection(label, score, (0, 0, 1, 1))

    feet, breast = part("FEET_EXPOSED", 0.9), part("FEMALE_BREAST_EXPOSED", 0.3)
    buttocks, face = part("BUTTOCKS_EXPOSED", 0.6), part("FACE_FEMALE", 0.8)
    found: Any = Found(((feet, face), (feet, breast), (buttocks, breast), ()))
    seen = [(p.label, p.score) for p in NudityJudge(found).classify([Path()] * 4)]
    assert seen == [
        (NOTHING, 1.0),
        ("FEMALE_BREAST_EXPOSED", 0.3),
        ("BUTTOCKS_EXPOSED", 0.6),
        (NOTHING, 1.0),
    ]
    published = NudityJudge(found).counting(EXPOSED, 0.45)
    assert [p.label for p in published.classify([Path()] * 4)] == [
        "FEET_EXPOSED",
        "FEET_EXPOSED",
        "BUTTOCKS_EXPOSED",
        NOTHING,
    ]
    assert published.sha256 != NudityJudge(found).sha256 and "from 0.45" in published.name


def test_nudity_is_judged_by_the_real_nudenet(judgeless: Path, tmp_path: Path) -> None:
    """A random model draws nobody: all of the forget images pass, and nothing else is claimed."""
    evaluation, _ = evaluate_concept(settings(judgeless, tmp_path / "out", concept=("nudity",)))
    assert evaluation.judges["object"]["name"].startswith("nudenet/320n.onnx 3.4.2")
    assert "FEMALE_BREAST_EXPOSED" in evaluation.concept.labels
    assert evaluation.erased.ua is not None and evaluation.erased.ua.value == 100
    assert evaluation.erased.ira is None and "ira" in evaluation.notes
    assert evaluation.erased.cra is None and "cra" in evaluation.notes


def test_imagenettes_classes_are_judged_against_each_other(
    judgeless: Path, imagenet: Path, tmp_path: Path
) -> None:
    asked = settings(judgeless, tmp_path / "out", concept=("gas pump",), detector=str(imagenet))
    evaluation, out = evaluate_concept(asked)
    assert evaluation.concept.kind == "object"
    assert evaluation.concept.labels == (IMAGENET[8],)
    assert evaluation.erased.ira is not None and evaluation.erased.ira.n == 27
    assert evaluation.erased.cra is None
    text = (out / "judgements.jsonl").read_text()
    assert all(label in text for label in IMAGENET if "goldfish" not in label)


def spec_of(concept: str) -> ConceptSpec:
    return load_concept(concept, VOCABULARY if concept in CLASSES else None)


@pytest.mark.parametrize(
    ("concept", "detector", "opened"),
    [
        ("church", None, "microsoft/resnet-50"),
        ("nudity", None, "nudenet"),
        ("violence", None, "clip"),
        ("yellow submarine", None, "clip"),
        ("church", "clip", "clip"),
        ("nudity", "safety-checker", "safety-checker"),
    ],
)
def test_which_detector_is_opened(
    concept: str,
    detector: str | None,
    opened: str,
    judgeless: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the choice is looked at: the hub models themselves cannot be had here."""
    asked: list[str] = []

    def note(source: str, *_: object, **__: object) -> None:
        asked.append(source)
        raise UsageError("enough")

    monkeypatch.setattr("expunge.evaluations.judge_choice.open_judge", note)
    with pytest.raises(UsageError, match="enough"):
        choose_judges(spec_of(concept), locate(str(judgeless)), detector, "cpu")
    assert asked == [opened]


def test_the_models_own_judges_come_first_but_for_the_flag(
    make_run: MakeRun, clip_folder: Path, tmp_path: Path
) -> None:
    run = make_run()
    own, _ = evaluate_concept(settings(run, tmp_path / "own"))
    assert set(own.judges) == {"object", "style"}
    told, out = evaluate_concept(settings(run, tmp_path / "told", detector=str(clip_folder)))
    assert told.judges["object"]["name"].endswith(", zero-shot")
    assert told.erased.ua is not None and told.erased.ira is None
    asked = "/".join(clip_folder.parts[-2:])
    assert f"--detector {asked}" in CONCEPT.command("run", CONCEPT.read(out / "evaluation.json"))
    own = CONCEPT.read(tmp_path / "own" / "evaluation.json")
    assert "--detector" not in CONCEPT.command("run", own)


def test_a_config_tells_what_a_folder_holds(
    clip_folder: Path, checker: Path, imagenet: Path
) -> None:
    kinds = [
        type(open_judge(str(folder), spec_of("church"), clip=clip_folder, device="cpu")).__name__
        for folder in (clip_folder, checker, imagenet)
    ]
    assert kinds == ["ZeroShot", "SafetyChecker", "Classifier"]


def test_a_detector_that_cannot_be_opened_or_cannot_name_it(
    model_folder: Path, imagenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*flags: str) -> str:
        words = [str(model_folder), "--out", str(tmp_path / "out"), "--device", "cpu", *flags]
        assert main(["evaluate", "concept", *words]) == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("expunge: error: ")
        return line

    church = ("--concept", "church")
    assert "--detector is empty" in refused(*church, "--detector", " ")
    (tmp_path / "empty").mkdir()
    line = refused(*church, "--detector", str(tmp_path / "empty"))
    assert "cannot open the detector" in line and "nudenet, clip, safety-checker" in line
    line = refused("--concept", "yellow submarine", "--detector", str(imagenet))
    assert "no judge here can name 'yellow submarine'" in line
    assert not (tmp_path / "out").exists()


def test_a_judges_weights_that_are_a_pointer_are_told(tmp_path: Path) -> None:
    save_judge(tmp_path / "judge", ("church", "dog"))
    (tmp_path / "judge" / "model.safetensors").write_bytes(LFS)
    with pytest.raises(UsageError, match=r"model\.safetensors: this is a Git LFS pointer"):
        load_classifier(tmp_path / "judge")
