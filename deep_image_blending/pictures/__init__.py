"""Pictures: reading and writing, colour, and the scene that places an object on a target.

Names are imported when first asked for, so that `blend --help` waits for no decoder.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deep_image_blending.pictures.bit_depth import Float, Pixels, as_bytes, as_float
    from deep_image_blending.pictures.demo import DEFAULT, Demo, demo_named, demos
    from deep_image_blending.pictures.mask import looks_inverted
    from deep_image_blending.pictures.picture import DEFAULT_MAX_PIXELS, Picture, compose_like, in_srgb
    from deep_image_blending.pictures.placement import Placement
    from deep_image_blending.pictures.reading import (
        Pictured,
        load_mask,
        load_picture,
        picture_size,
        read_picture,
    )
    from deep_image_blending.pictures.rescaling import rescaled_size
    from deep_image_blending.pictures.scene import Scene, Window, averaged, compose_scene
    from deep_image_blending.pictures.tensors import image_tensor, picture_array, plane_tensor
    from deep_image_blending.pictures.writing import WRITABLE, check_writable, encode_picture, write_picture

_ROOMS = {
    "demo": ("DEFAULT", "Demo", "demo_named", "demos"),
    "bit_depth": ("Float", "Pixels", "as_bytes", "as_float"),
    "mask": ("looks_inverted",),
    "picture": ("DEFAULT_MAX_PIXELS", "Picture", "compose_like", "in_srgb"),
    "placement": ("Placement",),
    "reading": ("Pictured", "load_mask", "load_picture", "picture_size", "read_picture"),
    "rescaling": ("rescaled_size",),
    "scene": ("Scene", "Window", "averaged", "compose_scene"),
    "tensors": ("image_tensor", "picture_array", "plane_tensor"),
    "writing": ("WRITABLE", "check_writable", "encode_picture", "write_picture"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "DEFAULT",
    "DEFAULT_MAX_PIXELS",
    "WRITABLE",
    "Demo",
    "Float",
    "Picture",
    "Pictured",
    "Pixels",
    "Placement",
    "Scene",
    "Window",
    "as_bytes",
    "as_float",
    "averaged",
    "check_writable",
    "compose_like",
    "compose_scene",
    "demo_named",
    "demos",
    "encode_picture",
    "image_tensor",
    "in_srgb",
    "load_mask",
    "load_picture",
    "looks_inverted",
    "picture_array",
    "picture_size",
    "plane_tensor",
    "read_picture",
    "rescaled_size",
    "write_picture",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
