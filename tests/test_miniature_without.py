"""The miniature that never knew an object: which renders it sees, and what its folder is."""

from pathlib import Path

import pytest
import torch
from support.files import files

from erase.models.locate import locate
from erase.models.model_source import MINIATURE
from miniature.without import make_without, without
from miniature.world import OBJECTS, STYLES

CHURCH = OBJECTS.index("church")


@pytest.fixture
def renders() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One grey picture of every object in every style."""
    grid = [(o, s) for o in range(len(OBJECTS)) for s in range(len(STYLES))]
    objects, styles = (torch.tensor(column) for column in zip(*grid, strict=True))
    return torch.full((len(grid), 64, 64, 3), 128, dtype=torch.uint8), objects, styles


def test_no_render_of_the_object_is_left_and_all_others_are(
    renders: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    rows = without("church", renders)
    assert len(rows) == len(renders[0]) - len(STYLES)
    assert CHURCH not in renders[1][rows].tolist()
    with pytest.raises(ValueError, match="nothing: not an object of the miniature; one of "):
        without("nothing", renders)


def test_its_folder_is_the_miniature_with_another_unet(
    renders: tuple[torch.Tensor, torch.Tensor, torch.Tensor], tmp_path: Path
) -> None:
    """One step of the training: of no use, but for the folder."""
    few = tuple(part[:: len(STYLES)] for part in renders)
    out = tmp_path / "without-church"
    make_without("church", few, MINIATURE, tmp_path / "state", out, share=1e-9)  # type: ignore[arg-type]
    shipped, made = locate("miniature"), locate(str(out))
    other = {name for name, sha256 in shipped.files.items() if made.files[name] != sha256}
    assert "unet/diffusion_pytorch_model.safetensors" in other
    assert {name.split("/")[0] for name in other} == {"unet"}
    assert "judge/object/model.safetensors" in files(out)
    assert (tmp_path / "state" / "unet-without-church.pt").is_file()
