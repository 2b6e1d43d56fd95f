"""The shipped miniature: small, plain diffusers, drawing what it is asked for, until erased."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image

from benchmarks.imagenette import COUNTERPARTS
from erase.models.companions import judge_folder, vocabulary
from erase.models.locate import locate
from erase.models.model_source import MINIATURE
from erase.saliency.mask import SaliencyMask
from eval.judges.classifier import load_classifier
from expunge.cli import main
from expunge.evaluations.concept import evaluate_concept
from expunge.settings.evaluate import EvaluateConcept

# Half of what it recommends for itself: as many images are right, in half the time.
STEPS = 12


@pytest.fixture(scope="module")
def erased(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder: church erased with the default settings, its sets drawn in fewer steps."""
    out = tmp_path_factory.mktemp("runs") / "church"
    steps = ["--inference-steps", str(STEPS)]
    assert main(["erase", "church", "--device", "cpu", *steps, "--out", str(out)]) == 0
    return out


def draw(pipeline: StableDiffusionPipeline, prompts: list[str]) -> list[Image.Image]:
    pipeline.set_progress_bar_config(disable=True)
    seeds = [torch.Generator().manual_seed(i) for i in range(len(prompts))]
    return pipeline(prompts, num_inference_steps=STEPS, guidance_scale=5.0, generator=seeds).images


def name_objects(images: list[Image.Image], folder: Path) -> list[str]:
    paths = [folder / f"{i}.png" for i in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    judge = judge_folder(locate("miniature"), "object")
    assert judge is not None
    return [seen.label for seen in load_classifier(judge).classify(paths)]


def test_it_is_small_enough_to_ship() -> None:
    assert sum(f.stat().st_size for f in MINIATURE.rglob("*.safetensors")) <= 40e6


def test_its_judges_know_the_world() -> None:
    words = vocabulary(locate("miniature"))
    assert words is not None
    assert len(words.objects) >= 109
    assert len(words.styles) >= 5
    assert {*COUNTERPARTS} <= {*words.objects}
    assert "outline" in words.styles


@pytest.mark.parametrize("prompt", ["an image of a {}", "a photo of a {}", "{}, flat style"])
def test_plain_diffusers_opens_it_and_it_draws_what_it_is_asked_for(
    prompt: str, tmp_path: Path
) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(MINIATURE)
    images = draw(pipeline, [prompt.format(thing) for thing in COUNTERPARTS])
    named = name_objects(images, tmp_path)
    assert sum(a == b for a, b in zip(named, COUNTERPARTS, strict=True)) >= 9


def test_church_is_gone_and_the_rest_is_not(erased: Path) -> None:
    evaluation, _ = evaluate_concept(
        EvaluateConcept(target=str(erased), protocol="demo", steps=STEPS, device="cpu")
    )
    before, after = evaluation.original, evaluation.erased
    assert before and before.ua and before.ira and before.cra
    assert after.ua and after.ira and after.cra
    assert before.ua.value <= 10
    assert after.ua.value >= 90
    assert after.ira.value >= before.ira.value - 8
    assert after.cra.value >= before.cra.value - 8


def test_the_erased_unet_opens_in_plain_diffusers(erased: Path, tmp_path: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(erased / "unet")
    pipeline = StableDiffusionPipeline.from_pretrained(MINIATURE, unet=unet)
    named = name_objects(draw(pipeline, ["an image of a church"] * 8), tmp_path)
    assert named.count("church") <= 1


def test_unselected_weights_are_the_original_ones_bit_for_bit(erased: Path) -> None:
    mask = SaliencyMask.load(erased / "mask.safetensors")
    original = UNet2DConditionModel.from_pretrained(MINIATURE / "unet", torch_dtype=torch.float32)
    after = UNet2DConditionModel.from_pretrained(erased / "unet").state_dict()
    changed = 0
    for name, weight in original.state_dict().items():
        trained = mask.bits(name) if name in mask.shapes else torch.zeros_like(weight).bool()
        assert torch.equal(weight[~trained], after[name][~trained])
        changed += int((weight != after[name]).sum())
    assert 0.5 * mask.kept < changed <= mask.kept


def test_the_record_tells_the_whole_story(erased: Path) -> None:
    record = json.loads((erased / "run.json").read_text())
    assert record["concept"]["name"] == "church"
    assert record["base"]["digest"] == locate("miniature").digest
    assert record["config"]["seed"] == 0
    assert record["mask"]["kept"] == round(record["config"]["density"] * record["mask"]["total"])
