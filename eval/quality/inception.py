"""Inception features for the FID: network, weights and resizing are all torch-fidelity's."""

import hashlib
import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eval.quality.measures.fid import INCEPTION_WIDTH
from plumbing.errors import UsageError
from plumbing.image_file import read_rgb

Features = NDArray[np.float32]

WEIGHTS = "inception-2015-12-05"
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the file that torch-fidelity and pytorch-fid both publish, converted from TensorFlow's."""


@dataclass(frozen=True)
class Inception:
    """The loaded Inception network with the name and the hash of its weights' file."""

    model: Any
    name: str
    sha256: str

    @property
    def published(self) -> bool:
        """Whether these are the weights that every FID in the literature is measured with."""
        return self.sha256 == WEIGHTS_SHA256

    @torch.no_grad()
    def image_features(self, images: Sequence[Path], batch_size: int = 64) -> Features:
        """Features [n, 2048] of image files of any size, in order; the network resizes them."""
        features = np.empty((len(images), INCEPTION_WIDTH), dtype=np.float32)
        device = next(self.model.parameters()).device
        for start in range(0, len(images), batch_size):
            pixels = [np.asarray(read_rgb(path)) for path in images[start : start + batch_size]]
            # Photographs come in many sizes, a tensor has one.
            for shape in {array.shape for array in pixels}:
                places = [index for index, array in enumerate(pixels) if array.shape == shape]
                stacked = np.stack([pixels[index] for index in places]).transpose(0, 3, 1, 2)
                batch = torch.from_numpy(np.ascontiguousarray(stacked)).to(device)
                (vectors,) = self.model(batch)
                features[[start + index for index in places]] = vectors.cpu().numpy()
        return features


def load_inception(weights: Path | None = None, device: str | torch.device = "cpu") -> Inception:
    """Open the FID's Inception network, with the published weights or those of a local file.

    The published ones are fetched once, to where torch.hub keeps such files. A UsageError says
    what is missing: the library, the network, the file.
    """
    network, url = _library()
    path = weights or _published(url)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--fid-weights {path}: cannot be read ({error.strerror})") from error
    sha256 = hashlib.sha256(data).hexdigest()
    if weights is None and sha256 != WEIGHTS_SHA256:
        raise UsageError(f"--fid: {path} is not the published file; remove it, then try again")
    model = _open(network, data, path).to(device)
    # The same weights are the same, whatever a user calls their file.
    return Inception(model, WEIGHTS if sha256 == WEIGHTS_SHA256 else path.name, sha256)


def _library() -> tuple[Any, str]:
    """The class of the network and the address of its weights."""
    try:
        # An optional extra, which the type checker's environment need not have.
        from torch_fidelity.feature_extractor_inceptionv3 import (  # type: ignore[import-not-found]
            URL_INCEPTION_V3,
            FeatureExtractorInceptionV3,
        )
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        # It imports torchvision, which beside a torch of another version fails in many ways.
        raise UsageError(
            f"--fid needs torch-fidelity, which cannot be imported ({_line(error)}): "
            "pip install 'expunge[fid]'"
        ) from error
    return FeatureExtractorInceptionV3, URL_INCEPTION_V3


def _published(url: str) -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=WEIGHTS_SHA256)
        except (OSError, RuntimeError) as error:
            raise UsageError(
                f"--fid: cannot fetch {url} ({_line(error)}); give a copy as --fid-weights FILE"
            ) from error
    return path


def _open(network: Any, data: bytes, path: Path) -> Any:
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        # The library would unpickle anything, code too: it gets what was read as tensors alone.
        tensors = io.BytesIO()
        torch.save(state, tensors)
        tensors.seek(0)
        return network(
            "inception-v3-compat", [str(INCEPTION_WIDTH)], feature_extractor_weights_path=tensors
        )
    except (
        AttributeError,
        EOFError,
        KeyError,
        RuntimeError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        raise UsageError(
            f"--fid-weights {path}: holds no weights of torch-fidelity's Inception network"
        ) from error


def _line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]
