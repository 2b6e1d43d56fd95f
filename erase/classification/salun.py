"""SalUn: random labels, learned by the weights that matter to the forget set and by no others.

Fan et al., ICLR 2024 (arXiv 2310.12508). The mask is its principle: it plugs into other methods.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from erase.classification.examples import Set, in_order, require_labels
from erase.classification.rl import rl
from erase.classification.training import Training
from erase.saliency.accumulate import accumulate_saliency
from erase.saliency.mask import SaliencyMask
from erase.saliency.selection import top_k_mask


def salun(training: Training, forget: Set, retain: Set, alpha: float) -> None:
    """Random labels; that `training` has a mask is what makes it SalUn."""
    rl(training, forget, retain, alpha)


def saliency_mask(
    model: nn.Module,
    parameters: dict[str, nn.Parameter],
    forget: Set,
    density: float,
    *,
    batch_size: int,
    dtype: torch.dtype = torch.float32,
) -> SaliencyMask:
    """The density * N weights with the largest |gradient of -sum of the forget cross-entropies|.

    The model is run in evaluation mode, so no buffer changes.
    """
    model.eval()
    device = next(model.parameters()).device

    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = batch[0].to(device), batch[1].to(device)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            logits = model(images)
        require_labels(labels, logits.shape[1])
        return -nn.functional.cross_entropy(logits.float(), labels, reduction="sum")

    saliency = accumulate_saliency(parameters, in_order(forget, batch_size), loss)
    return top_k_mask(saliency, density, {"density": str(density), "loss": "-cross_entropy"})
