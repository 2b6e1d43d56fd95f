"""Which files are a part's weights: those that diffusers and transformers read, and no others."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from support.part_folders import filled, lay, save_shards, ways
from support.strangers import change
from support.tiny_models import make_vae
from transformers import CLIPTextConfig, CLIPTextModel

from erase.export.pipeline import write_pipeline
from erase.models.checkpoint import load_checkpoint
from erase.models.denoiser_files import denoiser_config, denoiser_weights, open_denoiser
from erase.models.erased_run import open_run
from erase.models.locate import locate
from erase.models.part_weights import DIFFUSERS, TRANSFORMERS, Layout, find_weights
from erase.tensors.weight_files import Weights
from erase.verify.exported_checks import check_parts
from plumbing.errors import UsageError

UNET = "unet/diffusion_pytorch_model.safetensors"
KINDS: dict[str, tuple[Layout, Any, dict[str, Any]]] = {
    "diffusers": (
        DIFFUSERS,
        make_vae(),
        ways("diffusion_pytorch_model", "diffusion_pytorch_model", oldest=True),
    ),
    "transformers": (
        TRANSFORMERS,
        CLIPTextModel(
            CLIPTextConfig(
                vocab_size=9, hidden_size=4, intermediate_size=4, num_hidden_layers=1,
                num_attention_heads=1, max_position_embeddings=4,
            )
        ),
        ways("model", "pytorch_model", oldest=False),
    ),
}  # fmt: skip


def read_by(kind: Any, folder: Path, **words: Any) -> set[float]:
    """The values of the weights that a library loads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part = kind.from_pretrained(folder, local_files_only=True, **words)
    return {float(weight.flatten()[0]) for weight in part.state_dict().values()}


@pytest.mark.parametrize("library", KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_the_files_are_those_that_the_library_reads(library: str, data: st.DataObject) -> None:
    layout, part, known = KINDS[library]
    beside = data.draw(st.sets(st.sampled_from(sorted(known)), max_size=2))
    # Those that get into each other's way: there or not, as a coin falls.
    rivals = [name for name in known if name.endswith((" ", "fp16", "oldest shards"))]
    chosen = sorted(beside | {name for name in rivals if data.draw(st.booleans())})
    variant = data.draw(st.sampled_from([None, "fp16", "fp16", "non_ema", "ema", "fp_16"]))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        part.config.save_pretrained(folder) if library == "transformers" else part.save_config(
            folder
        )
        lay(folder, part.state_dict(), [(i, known[name]) for i, name in enumerate(chosen, 1)])
        found = find_weights(folder, layout, variant)
        if found is None:
            for each in (variant, None):
                with pytest.raises(OSError, match="no file named"):
                    read_by(type(part), folder, variant=each)
            return
        told = {"variant": found.variant, "use_safetensors": found.safe}
        own = {float(weight.flatten()[0]) for weight in Weights(found.files).values()}
        assert len(own) == 1 and own == read_by(type(part), folder, **told)
        if not (layout is DIFFUSERS and found.index and not found.safe):
            # Told nothing of pickles, diffusers passes over the index of pickled shards.
            assert own == read_by(type(part), folder, variant=found.variant)
        assert found.variant in (variant, None)
        assert (found.variant is None) == (variant not in layout.variants(_names(folder)))


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def beside(part: Path) -> None:
    """What hubs and disks have beside a part's weights."""
    stem = "diffusion_pytorch_model" if part.name != "text_encoder" else "model"
    weights = load_file(part / f"{stem}.safetensors")
    known = ways(stem, stem if part.name != "text_encoder" else "pytorch_model", oldest=False)
    lay(part, weights, [(2, known[n]) for n in known if n not in ("single ", "shards ")])


def test_what_lies_beside_the_weights_changes_nothing(model_folder: Path, tmp_path: Path) -> None:
    """Not the digest, the weights that are trained, those that are exported, nor the export."""
    folder = shutil.copytree(model_folder, tmp_path / "model")
    for part in ("unet", "vae", "text_encoder"):
        beside(folder / part)
    there, before = locate(str(folder)), locate(str(model_folder))
    assert there.files == before.files
    assert set(before.files) - {"tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"} == {
        *(f"{part}/config.json" for part in ("unet", "vae", "text_encoder")),
        *(f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae")),
        "text_encoder/model.safetensors",
        "scheduler/scheduler_config.json",
    }
    loaded = load_checkpoint(there, device="cpu")
    same(loaded.unet.state_dict(), dict(denoiser_weights(there)))
    same(loaded.unet.state_dict(), load_file(model_folder / UNET))
    write_pipeline(denoiser_weights(there), denoiser_config(there), {}, there, tmp_path / "out")
    write_pipeline(denoiser_weights(before), denoiser_config(before), {}, before, tmp_path / "as")
    assert _all(tmp_path / "out") == _all(tmp_path / "as")


def _all(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name].to(first[name].dtype)) for name in first)


def test_a_copied_safety_checker_has_what_is_read(model_copy: Path, tmp_path: Path) -> None:
    """A part that is not loaded goes by the same rule; one without its weights is left out."""
    for name, stem in (("safety_checker", "model"), ("image_encoder", "other")):
        (model_copy / name).mkdir()
        (model_copy / name / "config.json").write_text("{}")
        for file in (stem, "backup", "model.fp16"):
            save_file({"a": torch.ones(2)}, model_copy / name / f"{file}.safetensors")
        change(model_copy / "model_index.json", **{name: ["transformers", "CLIPVisionModel"]})
    source = locate(str(model_copy))
    write_pipeline(denoiser_weights(source), denoiser_config(source), {}, source, tmp_path / "out")
    assert _all(tmp_path / "out" / "safety_checker") == {"config.json", "model.safetensors"}
    assert not (tmp_path / "out" / "image_encoder").exists()
    assert (
        json.loads((tmp_path / "out/model_index.json").read_text())["image_encoder"] == [None] * 2
    )


@pytest.mark.parametrize("oldest", [False, True])
def test_a_variant_in_shards_is_read_and_exported_whole(
    oldest: bool, model_folder: Path, tmp_path: Path
) -> None:
    """With its oldest names, too, which diffusers misses where a path has a dot."""
    folder = tmp_path / "v1.5"
    half = StableDiffusionPipeline.from_pretrained(model_folder).to(torch.float16)
    half.save_pretrained(folder, variant="fp16", max_shard_size="9KB")
    if oldest:
        for part in ("unet", "vae"):
            shutil.rmtree(folder / part)
            (folder / part).mkdir()
            stem = "diffusion_pytorch_model"
            index = folder / part / f"{stem}.safetensors.fp16.index.json"
            save_shards(getattr(half, part).state_dict(), index, f"{stem}-{{}}.fp16.safetensors")
            shutil.copy(model_folder / part / "config.json", folder / part)
    source = locate(str(folder), variant="fp16")
    loaded = load_checkpoint(source, device="cpu")
    for part in ("unet", "vae", "text_encoder"):
        same(getattr(loaded, part).state_dict(), getattr(half, part).state_dict())
        assert len(source.weights_of(part).files) > 1
    same(dict(denoiser_weights(source)), half.unet.state_dict())

    write_pipeline(denoiser_weights(source), denoiser_config(source), {}, source, tmp_path / "out")
    plain = DiffusionPipeline.from_pretrained(tmp_path / "out", dtype=torch.float16)
    for part in ("unet", "vae", "text_encoder"):
        same(getattr(plain, part).state_dict(), getattr(half, part).state_dict())
    assert check_parts(locate(str(tmp_path / "out")), source).state == "ok"


def test_some_parts_may_lack_the_variant(model_copy: Path) -> None:
    weights = load_file(model_copy / UNET)
    halves = {name: weight.half() for name, weight in weights.items()}
    save_file(halves, model_copy / UNET.replace(".", ".fp16."), metadata={"format": "pt"})
    source = locate(str(model_copy), variant="fp16")
    assert {name for name in source.files if "fp16" in name} == {UNET.replace(".", ".fp16.")}
    same(load_checkpoint(source, device="cpu").unet.half().state_dict(), halves)


def _only(*variants: str) -> Any:
    def spoil(unet: Path) -> None:
        for variant in variants:
            shutil.copy(unet / Path(UNET).name, unet / f"diffusion_pytorch_model{variant}")
        (unet / Path(UNET).name).unlink()

    return spoil


def _lost_shard(unet: Path) -> None:
    weights = load_file(unet / Path(UNET).name)
    index = unet / f"{Path(UNET).name}.index.json"
    save_shards(weights, index, "diffusion_pytorch_model-{}.safetensors")
    (unet / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()


def _lacking_shard(unet: Path) -> None:
    _lost_shard(unet)
    weights = filled(load_file(unet / Path(UNET).name), 1)
    weights = {"conv_in.bias": weights["conv_in.bias"]}
    last = unet / "diffusion_pytorch_model-00002-of-00002.safetensors"
    save_file({"other": weights["conv_in.bias"]}, last)


@pytest.mark.parametrize(
    ("spoil", "variant", "told"),
    [
        (_only(), None, r"unet/ has no weights \(diffusion_pytorch_model\.safetensors\); get"),
        (_only(".fp16.safetensors"), None, "only of the variant fp16; add --variant fp16"),
        (_only(".fp16.safetensors"), "fp_16", "--variant fp_16: .* no weights of it; there .*fp16"),
        (_only(".fp16.safetensors", ".ema.bin"), None, "variants ema and fp16; add --variant"),
        (_only("_backup.safetensors"), None, "diffusion_pytorch_model_backup.safetensors is not"),
        (_only("-00001-of-00001.safetensors"), None, "00001-of-00001.safetensors is not read"),
        (_only(".msgpack"), None, "diffusion_pytorch_model.msgpack is not read"),
        (_lost_shard, None, "names diffusion_pytorch_model-00002-of-00002.*, which is not there"),
        (_lacking_shard, None, "its unet's shards lack the weight .*, which their index names"),
        (lambda unet: None, "fp_16", "--variant fp_16: .* no weights of it; leave it out"),
    ],
)
def test_weights_that_are_not_there_are_told_in_one_line(
    spoil: Any, variant: str | None, told: str, model_copy: Path
) -> None:
    spoil(model_copy / "unet")
    with pytest.raises(UsageError, match=told) as error:
        load_checkpoint(str(model_copy), variant=variant, device="cpu")
    assert "\n" not in str(error.value)


def test_flags_for_other_models_are_refused(model_folder: Path, finished: Path) -> None:
    for model in ("miniature", str(model_folder), str(finished), "model.safetensors"):
        with pytest.raises(UsageError, match="--revision main: goes with a model of the hub"):
            locate(model, revision="main")
    with pytest.raises(UsageError, match="--variant fp16: goes with"):
        locate("model.safetensors", variant="fp16")
    with pytest.raises(UsageError, match=r"--variant fp16: .* has no weights of it"):
        locate(str(finished), variant="fp16")


def test_a_run_has_the_weights_that_it_wrote_and_no_others(run: Path) -> None:
    digest, weights = locate(str(run)).digest, dict(open_run(run).weights)
    save_file(filled(weights, 3), run / "unet" / "backup.safetensors")
    save_file({"x.lora_A.weight": torch.ones(1)}, run / "unet/pytorch_lora_weights.safetensors")
    assert locate(str(run)).digest == digest
    same(dict(open_run(run).weights), weights)
    index = run / f"{UNET}.index.json"
    save_shards(filled(weights, 3), index, "diffusion_pytorch_model-{}.safetensors")
    for look in (open_run, lambda run: locate(str(run))):
        with pytest.raises(
            UsageError, match=r"unet/.*index\.json is not of the run.*; take it out"
        ):
            look(run)
    index.unlink()
    (run / UNET).unlink()
    for look in (open_run, lambda run: locate(str(run))):
        with pytest.raises(UsageError, match="unet/ has no weights"):
            look(run)


def test_a_unet_alone_goes_by_the_same_rule(model_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder / "unet", tmp_path / "alone")
    beside(folder)
    own = load_file(model_folder / UNET)
    same(dict(open_denoiser(str(folder)).weights), own)
    same(dict(open_denoiser(str(folder), variant="ema").weights), filled(own, 2))
    with pytest.raises(
        UsageError, match=r"--variant fp_16: .* no weights of it; there are bf16, ema, fp16"
    ):
        open_denoiser(str(folder), variant="fp_16")
    with pytest.raises(UsageError, match="--revision"):
        open_denoiser(str(folder), revision="main")
