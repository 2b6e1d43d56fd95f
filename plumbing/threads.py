"""How the threads of one piece of arithmetic wait for each other; to be settled before torch."""

import os

SPINS = "1000"
"""Times that GNU's OpenMP looks before it sleeps: some microseconds, as long as waits are between
two layers of a small model."""


def share_processors() -> None:
    """Have a thread that waits sleep soon, unless the user's own settings say otherwise.

    OpenMP's threads spin by default. Beside another busy process they then burn the time that the
    thread needs for which all wait (`python -m benchmarks.neighbour`).
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ.update(OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT=SPINS)
