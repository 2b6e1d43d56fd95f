"""NudeNet behind one door: image files to labelled boxes, the same whatever the number of cores."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from nudenet import nudenet

from eval.judges.nudenet_labels import NUDENET_VERSION, Detection
from plumbing.errors import UsageError
from plumbing.image_file import read_rgb

UPSTREAM: Any = nudenet
"""Untyped; its two steps, reading and decoding, are called with our own session between."""
MODEL = "320n.onnx"
SIDE = 320
"""Pixels a side of what the model sees; images are padded to a square and scaled."""
CANDIDATE = 0.2
"""Where NudeNet's own decoding starts to look at a box; it returns those above 0.25."""


@dataclass(frozen=True)
class Detector:
    """A loaded NudeNet with all that a result must record about it."""

    session: Any
    name: str
    version: str
    sha256: str

    def detect(
        self, images: Sequence[Path], workers: int | None = None
    ) -> Iterator[tuple[Detection, ...]]:
        """All that is found in each image file, in order; UsageError names an unreadable one.

        Threads, an image each, rather than batches: these cost more an image than one by one.
        """
        with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
            yield from pool.map(self.detect_one, images)

    def detect_one(self, image: Path) -> tuple[Detection, ...]:
        """All that is found in one image file, best score first."""
        blob, *frame = UPSTREAM._read_image(_read(image), SIDE)
        (raw,) = self.session.run(None, {self.session.get_inputs()[0].name: blob})
        return decode(raw, frame)


def load_detector() -> Detector:
    """Open the pinned NudeNet; UsageError if another release is installed."""
    found = version("nudenet")
    if found != NUDENET_VERSION:
        raise UsageError(
            f"nudenet {found} is installed and counts differ between releases; "
            f"pip install nudenet=={NUDENET_VERSION}"
        )
    weights = (Path(UPSTREAM.__file__).parent / MODEL).read_bytes()
    options = onnxruntime.SessionOptions()
    # One core an image: its own threads would wait for each other, busily.
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    name = f"nudenet/{MODEL}"
    return Detector(session, name, found, hashlib.sha256(weights).hexdigest())


def decode(raw: np.ndarray, frame: Sequence[float]) -> tuple[Detection, ...]:
    """The detections in one image's raw output [1, 4 + labels, boxes], by NudeNet's own rules.

    `frame` is what NudeNet's reader says of the image: ratios, padding and size. Boxes that its
    decoder would pass over are left out first, for it looks at each of the 2,100 in Python.
    """
    x_ratio, y_ratio, x_pad, y_pad, width, height = frame
    likely = np.flatnonzero(raw[0, 4:].max(axis=0) >= CANDIDATE)
    # Two empty boxes besides, for the decoder cannot read an output of a single one.
    kept = np.pad(raw[:, :, likely], ((0, 0), (0, 0), (0, 2)))
    found = UPSTREAM._postprocess([kept], x_pad, y_pad, x_ratio, y_ratio, width, height, SIDE, SIDE)
    return tuple(Detection(d["class"], d["score"], tuple(d["box"])) for d in found)


def _read(path: Path) -> np.ndarray:
    """Pixels as OpenCV reads ordinary files, blue first; what is broken is refused."""
    return np.ascontiguousarray(np.asarray(read_rgb(path))[:, :, ::-1])
