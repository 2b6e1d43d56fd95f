"""`--compile`: the same training by compiled code; slow, for the compiler takes a minute."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from erased_runs import erase, unet


@pytest.mark.slow
def test_a_compiled_training_ends_where_the_other_does(model_folder: Path, tmp_path: Path) -> None:
    plain = unet(erase(model_folder, tmp_path / "plain", "--steps", "4"))
    compiled = unet(erase(model_folder, tmp_path / "compiled", "--steps", "4", "--compile"))
    assert plain.keys() == compiled.keys()
    for name, tensor in compiled.items():
        # Adam moves a weight by about the learning rate a step, however small its gradient is.
        torch.testing.assert_close(tensor, plain[name], rtol=0, atol=5e-3)
