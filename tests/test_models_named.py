"""What people give as `--model`: forms of a name, and files that are another thing than a model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save, save_file
from support.contents import OTHERS, pickled, weights
from support.single_files import UNET, configs_of, ldm_tensors, save_single

from erase.models.checkpoint import load_checkpoint
from erase.models.denoiser_files import open_denoiser
from erase.models.locate import locate
from erase.models.named_model import is_single_file, meant
from erase.saliency.mask import SaliencyMask
from erase.verify.exported import open_exported
from plumbing.errors import UsageError

PART = "unet/diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize("kind", weights())
@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt", ".pt", ".PTH", ".SAFETENSORS", ".bin"])
def test_a_whole_model_is_one_under_any_name(
    kind: str, suffix: str, model_folder: Path, tmp_path: Path
) -> None:
    tensors = ldm_tensors(model_folder)
    path = tmp_path / f"Мой model 1{suffix}"
    path.write_bytes(weights(tensors)[kind])
    configs = configs_of(model_folder, tmp_path / "configs")
    source = locate(str(path), config=configs)
    assert source.single_file == path.resolve()
    found = open_denoiser(str(path), config=configs).weights
    expected = load_file(model_folder / PART)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_forms_of_a_folders_name(
    model_folder: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = shutil.copytree(model_folder, tmp_path / "家 of mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    digest = locate(str(home)).digest
    for form in (
        f"{home}/",
        "家 of mine",
        "./家 of mine/",
        "~/家 of mine",
        "~/家 of mine/model_index.json",
        f"{home}/unet",
        "家 of mine/unet/",
        f"{home}/text_encoder",
    ):
        assert locate(form).digest == digest, form
    for form in (f"{run}/run.json", f"{run}/unet", f"{run}/"):
        assert locate(form).digest == locate(str(run)).digest, form


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://huggingface.co/owner/name", "owner/name"),
        ("https://huggingface.co/owner/name/", "owner/name"),
        ("http://www.huggingface.co/owner/na.me/tree/main", "owner/na.me"),
        ("huggingface.co/owner/name?x=1#y", "owner/name"),
        ("https://hf.co/owner/name", "owner/name"),
        ("hf://owner/name", "owner/name"),
        ("owner/name/", "owner/name"),
        (" owner/name ", "owner/name"),
    ],
)
def test_the_address_of_a_page_of_the_hub_is_its_name(address: str, name: str) -> None:
    assert meant(address) == name and not is_single_file(address)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("https://huggingface.co/o/n/resolve/main/a/x.safetensors", "`hf download o/n a/x.safe"),
        ("https://huggingface.co/o/n/blob/main/x.ckpt", "`hf download o/n x.ckpt`"),
        ("https://huggingface.co/o/n/tree/fp16", "--model o/n --revision fp16"),
        ("https://huggingface.co/datasets/o/n", "a web address"),
        ("https://huggingface.co", "a web address"),
        ("https://civitai.com/models/4201?modelVersionId=9", "a web address; download"),
        ("https://example.org/x.safetensors", "a web address; download"),
        ("./owner/name", "no such model"),
        ("gone.SAFETENSORS", "no such file"),
        ("gone/x.pt", "no such file"),
    ],
)
def test_other_addresses_are_told_what_to_do_with(address: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as error:
        locate(address)
    assert "\n" not in str(error.value)


def _named(*names: str, shape: tuple[int, ...] = (4, 4)) -> bytes:
    return pickled({name: torch.ones(shape) for name in names})


ALONE: dict[str, tuple[bytes, str]] = {
    "kohya's LoRA": (_named("lora_unet_mid_block.lora_up.weight"), "a LoRA; merge it"),
    "PEFT's LoRA": (_named("unet.mid_block.lora_A.weight"), "a LoRA; merge it"),
    "old LoRA": (_named("mid_block.attn1.processor.to_q_lora.down.weight"), "a LoRA; merge it"),
    "LyCORIS": (_named("lora_te_text_model.hada_w1_a"), "a LoRA; merge it"),
    "FLUX LoRA": (_named("double_blocks.0.processor.qkv_lora1.down.weight"), "a LoRA; merge it"),
    "VAE": (_named("encoder.down.0.block.0.conv1.weight", "decoder.conv_in.bias"), r"\(VAE\) alon"),
    "diffusers' VAE": (_named("encoder.down_blocks.0.x", "quant_conv.weight"), r"\(VAE\) alone"),
    "LDM VAE": (_named("first_stage_model.encoder.conv_in.weight"), r"an autoencoder \(VAE\) alo"),
    "text encoder": (_named("text_model.encoder.layers.0.x"), "a text encoder alone"),
    "OpenCLIP": (_named("transformer.resblocks.0.ln_1.weight"), "a text encoder alone"),
    "T5": (_named("encoder.block.0.layer.0.x", "shared.weight"), "a text encoder alone"),
    "A1111 embedding": (_named("emb_params", shape=(3, 768)), "an embedding"),
    "SDXL embedding": (_named("clip_l", "clip_g", shape=(1, 768)), "an embedding"),
    "diffusers' embedding": (_named("<cat>", shape=(768,)), "an embedding"),
    "ControlNet": (_named("control_model.input_blocks.0.0.weight"), "a ControlNet"),
    "diffusers' ControlNet": (_named("controlnet_mid_block.x", "conv_in.weight"), "a ControlNet"),
    "T2I-Adapter": (_named("body.0.block1.weight", "conv_in.weight"), "a T2I-Adapter"),
    "IP-Adapter": (_named("image_proj.proj.weight", "ip_adapter.1.to_k"), "an IP-Adapter"),
    "motion": (_named("down_blocks.0.motion_modules.0.x"), "a motion module"),
    "upscaler": (_named("conv_first.weight", "body.0.rdb1.conv1.weight"), "an upscaler"),
    "LDM UNet": (_named(f"{UNET}input_blocks.0.0.weight", f"{UNET}out.2.weight"), "a UNet alone"),
    "bare LDM UNet": (_named("input_blocks.0.0.weight", "out.2.weight"), "a UNet alone"),
    "SalUn's UNet": (
        _named("conv_in.weight", "down_blocks.0.x"),
        "a UNet with diffusers' names; p",
    ),
    "ESD": (_named("down_blocks.0.attn2.to_k.weight"), "cross-attention of a UNet .* ESD"),
    "FLUX": (_named("transformer_blocks.0.x", "single_transformer_blocks.0.x"), "a transformer in"),
    "NF4": (
        _named(f"{UNET}x.weight", f"{UNET}x.weight.quant_state.bitsandbytes__nf4"),
        "quantised to NF4 by bitsandbytes",
    ),
    "int8": (_named(f"{UNET}x.weight", f"{UNET}x.SCB"), "quantised to int8 by bitsandbytes"),
    "GPTQ": (_named("x.qweight", "x.qzeros"), r"quantised \(GPTQ or AWQ\)"),
}


@pytest.mark.parametrize("kind", ALONE)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_no_whole_model_is_told_by_name(kind: str, suffix: str, tmp_path: Path) -> None:
    content, told = ALONE[kind]
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    for read in (locate, open_denoiser):
        with pytest.raises(UsageError, match=f"this is .*{told}") as error:
            read(str(path))
        assert "\n" not in str(error.value) and "get it anew" not in str(error.value)


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_weights_is_told_to_every_reader_of_a_model(kind: str, tmp_path: Path) -> None:
    content, told = OTHERS[kind]
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    for read in (locate, open_denoiser, lambda path: open_exported(Path(path))):
        with pytest.raises(UsageError, match=told):
            read(str(path))


def test_integers_are_no_weights(model_folder: Path, tmp_path: Path) -> None:
    tensors = ldm_tensors(model_folder)
    tensors = {n: t.to(torch.int8) if n.startswith(UNET) else t for n, t in tensors.items()}
    path = save_single(tmp_path / "x.safetensors", tensors)
    with pytest.raises(UsageError, match="quantised to integers"):
        locate(str(path))


def test_our_own_files_are_told_apart(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a mask of `expunge mask`; give it as --mask"):
        locate(str(finished / "mask.safetensors"))
    told = {"expunge.format": "delta"}
    save_file({"xor:a": torch.ones(2, dtype=torch.int32)}, tmp_path / "d.safetensors", told)
    with pytest.raises(UsageError, match=r"a delta of `expunge export`; .* `expunge apply`"):
        locate(str(tmp_path / "d.safetensors"))


def test_a_parts_file_leads_to_its_model(model_folder: Path) -> None:
    for part in (PART, "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        with pytest.raises(UsageError, match=f"give {model_folder}, its model"):
            locate(str(model_folder / part))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_part_of_a_folder_that_is_no_weights_is_told(part: str, model_copy: Path) -> None:
    """As `git clone` leaves a model without LFS, and as quantised models come."""
    (file,) = (model_copy / part).glob("*.safetensors")
    for kind in ("lfs", "fp8", "scaled fp8", "page", "gguf", "onnx"):
        file.write_bytes(OTHERS[kind][0])
        with pytest.raises(UsageError, match=f"its {part} .*{OTHERS[kind][1]}") as error:
            load_checkpoint(str(model_copy), device="cpu")
        assert "\n" not in str(error.value)
    file.write_bytes(save({"a.weight": torch.ones(2), "a.weight.absmax": torch.ones(2)}))
    with pytest.raises(UsageError, match=f"its {part} is quantised by bitsandbytes"):
        load_checkpoint(str(model_copy), device="cpu")


def test_weights_of_a_folder_under_a_wrong_name_are_to_be_renamed(model_copy: Path) -> None:
    before = load_checkpoint(str(model_copy), device="cpu").unet.state_dict()
    safe, plain = model_copy / PART, (model_copy / PART).with_suffix(".bin")
    for content, wrong, right in (
        (safe.read_bytes(), plain, safe),
        (pickled(load_file(safe)), safe, plain),
    ):
        safe.unlink(missing_ok=True)
        wrong.write_bytes(content)
        with pytest.raises(UsageError, match=f"by its content; rename it to {right.name}$"):
            load_checkpoint(str(model_copy), device="cpu")
        wrong.rename(right)
        after = load_checkpoint(str(model_copy), device="cpu").unet.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_mask_that_is_another_thing_is_told(model_folder: Path) -> None:
    with pytest.raises(UsageError, match="is a UNet with diffusers' names; make one with"):
        SaliencyMask.load(model_folder / PART)


def test_folders_that_are_no_models(model_folder: Path, single: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder / "unet", tmp_path / "alone")
    shutil.copytree(model_folder, tmp_path / "twice" / "model")
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    for name, told in (
        ("alone", "it is a UNet alone"),
        ("twice", "give a folder in it, as twice/model"),
        ("lora", "it is a LoRA"),
        ("empty", "give a diffusers pipeline folder or a run folder"),
    ):
        with pytest.raises(UsageError, match=told):
            locate(str(tmp_path / name))
    shutil.copyfile(single / "base.safetensors", tmp_path / "empty" / "b.safetensors")
    with pytest.raises(UsageError, match=r"give the file in it, as empty/b.safetensors"):
        locate(str(tmp_path / "empty"))
