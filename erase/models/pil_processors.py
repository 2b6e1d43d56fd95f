"""Import before diffusers: its pipelines then find image processors that need no torchvision.

They ask transformers for two that do, on import; without torchvision transformers falls back to the
ones below by itself, with a warning each time that `expunge` starts. Nothing here uses either.
"""

import sys

from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil
from transformers.utils.import_utils import is_torchvision_available

if not is_torchvision_available():
    # transformers 5 puts another module in its own place while it is imported.
    package = sys.modules["transformers"]
    setattr(package, "CLIPImageProcessor", CLIPImageProcessorPil)  # noqa: B010
    setattr(package, "SiglipImageProcessor", SiglipImageProcessorPil)  # noqa: B010
