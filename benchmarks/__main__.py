"""Every benchmark in turn: headline, the ten Imagenette counterparts, the ablation of the mask.

python -m benchmarks --out runs/bench
"""

import tyro

from benchmarks import ablation, headline, imagenette
from benchmarks.common import Options

if __name__ == "__main__":
    chosen = tyro.cli(Options, description=__doc__)
    for benchmark in (headline, imagenette, ablation):
        benchmark.main(chosen)
