"""What a blend imports at its start, and how."""

from __future__ import annotations

import json
import subprocess
import sys

_PROGRAM = """
import gc, json, sys
from deep_image_blending.cli.loading import loading
with loading():
    collecting = gc.isenabled()
    import deep_image_blending.runs.execution
with loading():
    again = gc.isenabled()
names = ("torch", "torchvision", "matplotlib", "imageio", "skimage.graph", "scipy.sparse")
imported = [name for name in names if name in sys.modules]
print(json.dumps([collecting, again, gc.isenabled(), gc.get_freeze_count(), imported]))
"""


def test_pytorch_is_loaded_without_the_collector_and_nothing_beside_it() -> None:
    printed = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True).stdout
    collecting, again, afterwards, frozen, imported = json.loads(printed)
    assert (collecting, again, afterwards) == (False, True, True)
    assert frozen > 100_000
    assert imported == ["torch"]
