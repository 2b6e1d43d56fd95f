"""The Inception network of the FID: torch-fidelity's own, with random weights of its shape."""

import hashlib
import os
import pickle
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.files import files

from eval.quality.inception import WEIGHTS, WEIGHTS_SHA256, Inception, load_inception
from plumbing.errors import UsageError

LIBRARY = "torch_fidelity.feature_extractor_inceptionv3"


@pytest.fixture
def library() -> Any:
    """The module of the network, whose package needs a torchvision made for this torch."""
    pytest.importorskip("torch_fidelity", reason="needs pip install 'expunge[fid]'")
    return sys.modules[LIBRARY]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of torch-fidelity's own network: the published ones cannot be fetched here."""
    pytest.importorskip("torch_fidelity", reason="needs pip install 'expunge[fid]'")
    network = sys.modules[LIBRARY].FeatureExtractorInceptionV3
    torch.manual_seed(0)
    made = {}

    class Untrained(network):
        def load_state_dict(self, *args: Any, **kwargs: Any) -> None:
            made.update(self.state_dict())

    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save({}, path)
    Untrained("untrained", ["2048"], feature_extractor_weights_path=str(path))
    torch.save(made, path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Twelve pictures of noise, of two sizes in turn."""
    rng, found = np.random.default_rng(0), []
    for index in range(12):
        shape = (20, 16, 3) if index % 2 else (16, 16, 3)
        found.append(tmp_path / "pictures" / f"{index:02d}.png")
        found[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(found[-1])
    return found


def test_features_hang_on_the_image_alone(weights: Path, pictures: list[Path]) -> None:
    """Not on the others of its batch, nor on their number, order or size."""
    inception = load_inception(weights)
    features = inception.image_features(pictures)
    assert features.shape == (12, 2048) and features.dtype == np.float32
    assert np.isfinite(features).all() and len(np.unique(features, axis=0)) == 12
    np.testing.assert_array_equal(load_inception(weights).image_features(pictures), features)
    close = {"rtol": 1e-4, "atol": 1e-5 * float(np.abs(features).max())}
    for batch_size in (1, 5):
        again = inception.image_features(pictures, batch_size)
        np.testing.assert_allclose(again, features, **close)
    order = random.Random(0).sample(range(12), 12)
    moved = inception.image_features([pictures[index] for index in order])
    np.testing.assert_allclose(moved, features[order], **close)


def test_features_are_those_that_the_library_itself_measures_by(
    weights: Path, pictures: list[Path]
) -> None:
    """Its own reader of folders, one image at a time, since it takes one size a batch."""
    from torch_fidelity.defaults import DEFAULTS
    from torch_fidelity.utils import create_feature_extractor, extract_featuresdict_from_input_id

    options = DEFAULTS | {"input1": str(pictures[0].parent), "cuda": False, "verbose": False}
    options |= {"batch_size": 1, "feature_extractor_weights_path": str(weights)}
    options |= {"save_cpu_ram": True}
    network = create_feature_extractor("inception-v3-compat", ["2048"], **options)
    expected = extract_featuresdict_from_input_id(1, network, **options)["2048"].numpy()
    found = load_inception(weights).image_features(pictures, batch_size=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_weights_are_known_by_their_files_hash(weights: Path, tmp_path: Path) -> None:
    inception = load_inception(weights)
    assert inception.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (inception.name, inception.published) == ("random.pth", False)
    assert Inception(None, WEIGHTS, WEIGHTS_SHA256).published


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_file_of_other_things_is_refused_and_no_code_in_it_runs(
    library: Any, tmp_path: Path
) -> None:
    trap, sprung = tmp_path / "trap.pth", tmp_path / "sprung"
    torch.save({"fc.weight": Trap(sprung)}, trap)
    contents = {"empty": b"", "text": b"no weights", "pickle": pickle.dumps([1])}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other")
    torch.save(torch.zeros(2), tmp_path / "tensor")
    for name in ("trap.pth", "other", "tensor", *contents):
        with pytest.raises(UsageError, match=f"{name}: holds no weights"):
            load_inception(tmp_path / name)
    assert not sprung.exists()
    with pytest.raises(UsageError, match=r"--fid-weights .*nowhere: cannot be read"):
        load_inception(tmp_path / "nowhere")


def test_the_published_weights_are_fetched_once_and_their_hash_is_checked(
    library: Any, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source" / "w.pth"
    source.parent.mkdir()
    source.write_bytes(weights.read_bytes())
    monkeypatch.setattr(library, "URL_INCEPTION_V3", source.as_uri())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    with pytest.raises(UsageError, match=r"cannot fetch file:.*invalid hash.*--fid-weights FILE"):
        load_inception()
    assert files(tmp_path / "home") == set()
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    monkeypatch.setattr("eval.quality.inception.WEIGHTS_SHA256", sha256)
    assert load_inception().name == WEIGHTS
    source.unlink()
    fetched = load_inception()
    assert (fetched.sha256, fetched.published) == (sha256, True)
    (tmp_path / "home" / "hub" / "checkpoints" / "w.pth").write_bytes(b"cut off")
    with pytest.raises(UsageError, match=r"w\.pth is not the published file; remove it"):
        load_inception()
