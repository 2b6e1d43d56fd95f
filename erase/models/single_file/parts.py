"""Diffusers' UNet, autoencoder and text encoder, filled from one file in the original layout."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from erase.models.architectures.families import VAE_PREFIX
from erase.models.part_config import build
from erase.models.single_file.recognise import SingleFile
from erase.models.single_file.unet_keys import UNET_PREFIX, unet_keys
from erase.tensors.weight_files import Computed
from plumbing.errors import UsageError

_NO_WEIGHTS = re.compile(
    r"(text_model\.)?embeddings\.position_ids|text_projection(\.weight)?|logit_scale"
)


def load_part(file: SingleFile, component: str, dtype: torch.dtype) -> nn.Module:
    """A model's `unet`, `vae`, `text_encoder` or `text_encoder_2`, every weight from the file.

    A weight that is missing, is of another shape than the config's, or is left over, is a
    UsageError: nothing is filled at random and nothing is dropped, but for what diffusers' models
    have no place for (the last layer of SD 2's text encoder).
    """
    if component in file.family.text:
        model, found = _build_text_encoder(file, component)
    else:
        model, found = {"unet": _build_unet, "vae": _build_vae}[component](file)
    _require_fit(file, component, model, found)
    # A copy: mapped weights would change under the training, or with the file.
    weights = {name: found[name].to(dtype, copy=True).contiguous() for name in model.state_dict()}
    model.load_state_dict(weights, strict=True, assign=True)
    return model


def unet_tensors(file: SingleFile) -> Computed:
    """The file's UNet under diffusers' names, in its own types, each tensor read when asked for.

    Checked as by `load_part`.
    """
    model, found = _build_unet(file)
    _require_fit(file, "unet", model, found)
    names = _unet_names(file, model)
    return Computed({n: file.tensors.specs[key] for n, key in names.items()}, found.__getitem__)


def unet_names(file: SingleFile) -> dict[str, str]:
    """The file's full key of every UNet weight, by its diffusers name."""
    return _unet_names(file, _empty(UNet2DConditionModel, file.folder / "unet"))


def _unet_names(file: SingleFile, model: Any) -> dict[str, str]:
    keys = unet_keys(model.config, model.state_dict())
    return {name: UNET_PREFIX + key for name, key in keys.items()}


def _empty(kind: Any, folder: Path) -> Any:
    """A diffusers model of a folder's config, on the meta device."""
    with init_empty_weights():
        return build(kind, kind.load_config(folder))


def _build_unet(file: SingleFile) -> tuple[nn.Module, Mapping[str, Tensor]]:
    model = _empty(UNet2DConditionModel, file.folder / "unet")
    names = _unet_names(file, model)
    specs = file.tensors.specs
    for name in names.values():
        if name not in specs:
            raise _lacking(file, "unet", name)
    for name in sorted(specs.keys() - names.values()):
        if name.startswith(UNET_PREFIX):
            raise _left_over(file, "unet", name)
    found = Computed({n: specs[k] for n, k in names.items()}, lambda n: file.tensors[names[n]])
    return model, found


def _build_vae(file: SingleFile) -> tuple[nn.Module, Mapping[str, Tensor]]:
    model = _empty(AutoencoderKL, file.folder / "vae")
    return model, convert_ldm_vae_checkpoint(_below(file, VAE_PREFIX), model.config)


def _build_text_encoder(file: SingleFile, component: str) -> tuple[nn.Module, Mapping[str, Tensor]]:
    config = CLIPTextConfig.from_pretrained(file.folder / component, local_files_only=True)
    kind = CLIPTextModelWithProjection if component == "text_encoder_2" else CLIPTextModel
    with init_empty_weights():
        model: Any = kind(config)
    prefix = file.family.text[component]
    weights = _below(file, prefix)
    if component in file.family.open_clip:
        found = convert_open_clip_checkpoint(model, weights, prefix=prefix)
        # Diffusers' own script for writing such files leaves it as its Linear has it.
        if (linear := f"{prefix}text_projection.weight") in weights:
            found.setdefault("text_projection.weight", weights[linear])
    else:
        found = convert_ldm_clip_checkpoint(weights)
    # The model has a wrapper or not, which the oldest files lack and transformers 5.6 took away.
    wrapper = "text_model." if hasattr(model, "text_model") else ""
    bare = {name.removeprefix("text_model."): tensor for name, tensor in found.items()}
    return model, {
        name if name.startswith("text_projection") else wrapper + name: tensor
        for name, tensor in bare.items()
    }


def _below(file: SingleFile, prefix: str) -> dict[str, Tensor]:
    return {name: file.tensors[name] for name in file.tensors if name.startswith(prefix)}


def _require_fit(
    file: SingleFile, component: str, model: nn.Module, found: Mapping[str, Tensor]
) -> None:
    wanted = model.state_dict()
    for name in sorted(wanted.keys() - found.keys()):
        raise _lacking(file, component, name)
    dropped = _dropped(file, component, model)
    for name in sorted(found.keys() - wanted.keys()):
        if not dropped(name):
            raise _left_over(file, component, name)
    shapes = found.specs if isinstance(found, Computed) else found
    for name, weight in wanted.items():
        if tuple(shapes[name].shape) != tuple(weight.shape):
            raise UsageError(
                f"--model {file.path}: its {component}'s {name} is {tuple(shapes[name].shape)}, "
                f"not {tuple(weight.shape)} as {_config(file, component)} tells; give a --config "
                "FOLDER of its own architecture"
            )


def _dropped(file: SingleFile, component: str, model: Any) -> Callable[[str], bool]:
    """What the files hold that diffusers' models have no place for."""
    if component not in file.family.text:
        return lambda name: False
    # SD 2 reads the last layer but one, so diffusers' configs end there.
    depth = model.config.num_hidden_layers
    last = f"encoder.layers.{depth}." if file.family.last_layer_unread else "\n"
    return lambda name: name.startswith(last) or _NO_WEIGHTS.fullmatch(name) is not None


def _lacking(file: SingleFile, component: str, name: str) -> UsageError:
    return UsageError(
        f"--model {file.path}: its {component} lacks the weight {name} of "
        f"{_config(file, component)}; get the file anew, or give another --config FOLDER"
    )


def _left_over(file: SingleFile, component: str, name: str) -> UsageError:
    return UsageError(
        f"--model {file.path}: its {component} has the weight {name}, for which "
        f"{_config(file, component)} has no place; give a --config FOLDER of its own architecture"
    )


def _config(file: SingleFile, component: str) -> Path:
    return file.folder / component / "config.json"
