"""The settings of `expunge classification`, and the methods' recipes; imports no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from erase.classification.recipes import RETRAIN, MethodName, Scenario
from expunge.settings.checks import at_least, positive, require, require_seed
from expunge.settings.groups import Dtype, shown

DatasetName = Literal["fashion-mnist", "cifar10", "digits"]
ModelName = Literal["resnet20", "resnet18", "small"]
Masks = Literal["without", "with", "both"]


@dataclass(frozen=True)
class Classification:
    """Make a classifier forget some of its training images, by SalUn and by its rivals.

    For each seed a model is trained on all images, and another anew without those to be forgotten:
    Retrain, the exact answer. Each method then starts from the first and should come to the second.
    Told of each: UA, RA, TA, MIA (unlearning, remaining and test accuracy, membership inference),
    the average gap to Retrain in these four, and the run-time.
    Try: expunge classification --dataset digits
    """

    dataset: DatasetName = "fashion-mnist"
    """What is learned; `digits` comes with scikit-learn and takes a minute."""
    data: Annotated[Path | None, shown("FOLDER", "none; digits needs none")] = None
    """Folder of Fashion-MNIST's four .gz files (Debian's package dataset-fashion-mnist has them in
    /usr/share/datasets/fashion-mnist), or CIFAR-10's cifar-10-batches-py."""
    scenario: tuple[Scenario, ...] = ("random",)
    """Forget images drawn at random, or a whole class; give both for both."""
    forget_share: tuple[float, ...] = (0.1, 0.5)
    """Shares of the training images to forget at random, each above 0 and below 1."""
    forget_class: int = 0
    """Which class to forget in the scenario `class`."""
    methods: tuple[MethodName, ...] = ("retrain", "ft", "ga", "rl", "l1_sparse", "salun")
    """What to compare; Retrain is always there, the gap needs it."""
    mask: Masks = "both"
    """Run each method without SalUn's mask, with it, or both ways. `salun` is `rl` with the mask;
    Retrain has none."""
    density: Annotated[float | None, shown("FLOAT", "each method's")] = None
    """Share of the weights that a mask lets change, above 0 and up to 1."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each gives another model, other images to forget, another training."""
    model: Annotated[ModelName | None, shown(ModelName, "small for digits, else resnet20")] = None
    """The classifier; resnet18 is the paper's, and wants a GPU."""
    stem_stride: Annotated[int | None, shown("INT", "2 for resnet20, else 1")] = None
    """Stride of the first convolution; 2 is four times as quick, on images half as fine."""
    train_images: Annotated[int | None, shown("INT", "12000 of Fashion-MNIST, else all")] = None
    """How many training images to use, the first of the dataset's."""
    epochs: Annotated[int | None, shown("INT", "20")] = None
    """Passes of the first training, and of Retrain."""
    unlearn_epochs: Annotated[int | None, shown("INT", "each method's")] = None
    """Passes of the other methods."""
    unlearn_lr: Annotated[float | None, shown("FLOAT", "each method's")] = None
    """Learning rate of the other methods."""
    gamma: Annotated[float | None, shown("FLOAT", "tuned")] = None
    """Weight of l1-sparse's penalty, which falls to 0."""
    alpha: Annotated[float | None, shown("FLOAT", "tuned")] = None
    """Weight of the retain set against the random labels of `rl` and `salun`."""
    freeze_statistics: bool = False
    """Let the methods leave batch norm's running statistics as they were, and with them every
    buffer; --unlearn-lr must then be smaller, 0.01 for one."""
    batch_size: int = 128
    """Images in a step."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`, `mps`; `auto` takes the fastest there is."""
    dtype: Dtype = "auto"
    """Precision of the arithmetic; `auto` is bfloat16 on GPUs and on CPUs made for it (AMX,
    AVX512-BF16), else float32. Weights are float32."""
    out: Annotated[Path | None, shown("FOLDER", "runs/classification-DATASET")] = None
    """Folder to write. What is finished in it is kept: the same command goes on, and other seeds,
    shares, methods or scenarios are added."""
    overwrite: bool = False
    """Start again in a folder that was used with other settings."""
    json: bool = False
    """Print one JSON object for machines instead of the tables."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for share in self.forget_share:
            require(0 < share < 1, f"--forget-share must be above 0 and below 1, not {share}")
        for flag in ("scenario", "forget_share", "methods", "seeds"):
            values = getattr(self, flag)
            name = f"--{flag.replace('_', '-')}"
            require(bool(values), f"{name} is empty; give at least one")
            require(len(set(values)) == len(values), f"{name} has the same value twice")
        require(
            0 <= self.forget_class <= 9, f"--forget-class must be 0 to 9, not {self.forget_class}"
        )
        require(
            self.density is None or 0 < self.density <= 1,
            f"--density must be above 0 and at most 1, not {self.density}",
        )
        for seed in self.seeds:
            require_seed(seed)
        require(
            self.dataset == "digits" or self.data is not None,
            f"--data is missing: give the folder of {self.dataset}, or take --dataset digits",
        )
        require(self.dtype != "float16", "--dtype float16: gradients underflow; use bfloat16")
        at_least("--train-images", self.train_images, 10)
        at_least("--epochs", self.epochs, 1)
        at_least("--unlearn-epochs", self.unlearn_epochs, 1)
        at_least("--batch-size", self.batch_size, 2)
        at_least("--gamma", self.gamma, 0)
        at_least("--alpha", self.alpha, 0)
        at_least("--stem-stride", self.stem_stride, 1)
        positive("--unlearn-lr", self.unlearn_lr)

    def settle(self) -> "SettledClassification":
        """The same with what depends on the dataset settled."""
        model = self.model or ("small" if self.dataset == "digits" else "resnet20")
        some = 12_000 if self.dataset == "fashion-mnist" else None
        settled = {
            "model": model,
            "stem_stride": self.stem_stride or (2 if model == "resnet20" else 1),
            "train_images": self.train_images or some,
            "epochs": self.epochs or RETRAIN.epochs,
        }
        return SettledClassification(**vars(self) | settled)


@dataclass(frozen=True)
class SettledClassification(Classification):
    """The settings of a benchmark that runs: what is still None is each method's own."""

    model: ModelName = "resnet20"
    stem_stride: int = 2
    epochs: int = RETRAIN.epochs
