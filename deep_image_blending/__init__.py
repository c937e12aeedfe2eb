"""Put an object from one picture into another so that nobody sees it was ever elsewhere."""

from importlib import metadata
from typing import TYPE_CHECKING, Any

__version__ = metadata.version("deep-image-blending")

__all__ = ["BlendResult", "__version__", "blend", "evaluate", "first_pass", "poisson_blend", "second_pass"]

if TYPE_CHECKING:
    from deep_image_blending.api import (
        BlendResult,
        blend,
        evaluate,
        first_pass,
        poisson_blend,
        second_pass,
    )


def __getattr__(name: str) -> Any:
    # torch is imported when something is first computed, not when the command line starts.
    if name in __all__:
        from deep_image_blending import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
