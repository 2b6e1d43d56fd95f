"""Every table of the README in turn, then time and memory; some five hours on two cores.

python -m benchmarks --out runs/bench
"""

from dataclasses import asdict

import tyro

from benchmarks import (
    ablation,
    bill,
    cards,
    classification,
    delta,
    depth,
    growth,
    headline,
    imagenette,
    kernels,
    lora,
    neighbour,
    overhead,
    saliency,
    speed,
    startup,
    steps,
    strength,
)
from benchmarks.common import Options

if __name__ == "__main__":
    chosen = tyro.cli(Options, description=__doc__)
    for benchmark in (headline, imagenette, ablation, saliency):
        benchmark.main(chosen)
    strength.main(strength.StrengthOptions(**asdict(chosen)))
    lora.main(lora.LoraOptions(**asdict(chosen)))
    delta.main(delta.DeltaOptions(**asdict(chosen)))
    if depth.DepthOptions().floor.is_dir():
        depth.main(depth.DepthOptions(**asdict(chosen)))
    steps.main(steps.StepsOptions(**asdict(chosen)))
    bill.main(bill.BillOptions(**asdict(chosen)))
    neighbour.main(neighbour.NeighbourOptions(**asdict(chosen)))
    speed.main(chosen)
    kernels.main(kernels.Options(out=chosen.out))
    cards.main(cards.Options(out=chosen.out))
    overhead.main(overhead.Options(**asdict(chosen)))
    startup.main(startup.Options(**asdict(chosen)))
    growth.main(growth.Options(**asdict(chosen)))
    if classification.FASHION_MNIST.is_dir():
        classification.main(classification.Options(out=chosen.out))
