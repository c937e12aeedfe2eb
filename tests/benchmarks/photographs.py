"""Photographs that may be used freely, for benchmarks."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import skimage
from PIL import Image

from deep_image_blending.pictures.demo import demos

BUNDLED = Path(__file__).parents[2] / "deep_image_blending" / "data"


def photograph(name: str) -> Image.Image:
    """A bundled demo's source, a bundled file by its path, one of scikit-image's CC0 pictures, or Matplotlib's
    portrait in the public domain."""
    by_demo = {demo.name: demo.source for demo in demos()}
    if name in by_demo:
        path = by_demo[name]
    elif "/" in name:
        path = BUNDLED / name
    elif name == "grace_hopper":
        path = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    else:
        path = next((Path(skimage.__file__).parent / "data").glob(f"{name}.*"))
    with Image.open(path) as opened:
        return opened.convert("RGB")
