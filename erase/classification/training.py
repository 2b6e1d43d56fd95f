"""What every method of unlearning shares: batches in random order, masked SGD, a falling rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from erase.classification.examples import Set, require_labels, shuffled
from erase.training.masked_optimizer import MaskedOptimizer

Augment = Callable[[Tensor, torch.Generator], Tensor]


class Training:
    """One training of some weights of one classifier, by SGD with momentum and weight decay.

    The learning rate rises over the first `warmup` of the steps and falls to 0 from there, both in
    a straight line. Everything random is drawn from `generator`, on the CPU.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Mapping[str, nn.Parameter],
        mask: Mapping[str, Tensor],
        *,
        classes: int,
        lr: float,
        epochs: int,
        batch_size: int,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        warmup: float = 0.0,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator,
        augment: Augment | None = None,
        tick: Callable[[int], object] = lambda images: None,
    ) -> None:
        """`mask` has a bool tensor for each of the `parameters`; `tick` is told of images done."""
        self.model, self.classes, self.generator = model, classes, generator
        self.done = 0.0
        """Share of the steps that are behind us."""
        self._lr, self._warmup = lr, warmup
        self._epochs, self._batch_size = epochs, batch_size
        self._augment, self._tick = augment, tick
        self._device = next(model.parameters()).device
        self._autocast = torch.autocast(
            self._device.type, dtype, enabled=dtype != torch.float32, cache_enabled=False
        )
        self._optimizer = MaskedOptimizer(
            parameters,
            {name: mask[name] for name in parameters},
            lambda weights: torch.optim.SGD(
                weights, lr, momentum=momentum, weight_decay=weight_decay
            ),
        )

    def batches(self, *sets: Set) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Some sets together in random order, as often as there are epochs.

        Images and labels on the model's device, and the number of the set that each is from.
        """
        size = sum(len(part) for part in sets)
        steps, step = self._epochs * -(-size // self._batch_size), 0
        for _ in range(self._epochs):
            for images, labels, source in shuffled(sets, self._batch_size, self.generator):
                self.done = step / steps
                if self._augment:
                    images = self._augment(images, self.generator)
                yield images.to(self._device), labels.to(self._device), source.to(self._device)
                self._tick(len(labels))
                step += 1

    def trained(self) -> list[nn.Parameter]:
        """The parameters of which something is selected, whole."""
        return [p for p in self.model.parameters() if p.requires_grad]

    def error(self, images: Tensor, labels: Tensor, weights: Tensor | float = 1.0) -> Tensor:
        """The mean of each example's cross-entropy times its weight, float32.

        Labels that the model lacks are a UsageError.
        """
        with self._autocast:
            logits = self.model(images)
        require_labels(labels, logits.shape[1])
        errors = nn.functional.cross_entropy(logits.float(), labels, reduction="none")
        return (errors * weights).mean()

    def step(self, loss: Tensor) -> None:
        """One update of the selected weights against the gradient of `loss`."""
        rising = (self.done / self._warmup) if self._warmup else 1.0
        falling = (1 - self.done) / (1 - self._warmup)
        self._optimizer.set_lr(self._lr * min(rising, falling))
        loss.backward()
        self._optimizer.step()
