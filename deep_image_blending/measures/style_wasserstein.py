"""Whether the object's texture is the target's, by the whole distribution of features."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from deep_image_blending.measures.measure import measure

if TYPE_CHECKING:
    from deep_image_blending.measures.blend import Blend
    from deep_image_blending.measures.measure import Array


@measure(
    "sliced Wasserstein distance of the object's features to the target's, over their spread",
    range="0..",
    better="lower",
    about="surroundings",
    of_features=True,
)
def style_wasserstein(blend: Blend) -> float:
    clouds = [blend.features.clouds(layer) for layer in blend.features.style_layers]
    return float(np.mean([sliced_wasserstein(ours, theirs) for ours, theirs in clouds]))


def sliced_wasserstein(ours: Array, theirs: Array, *, directions: int = 64, quantiles: int = 256) -> float:
    """Sliced Wasserstein distance of two clouds of features, (N, C) and (M, C), over the spread of `theirs`.

    `sum over d of W₂²(ours·d, theirs·d) / sum over d of Var(theirs·d)`, the square root of it, over random unit
    directions d of a fixed seed; W₂ in one dimension is the distance of the quantile functions (Rabin et al.,
    2011; Heitz et al., 2021, for texture). 0.., lower is better; a shift by one standard deviation gives 1.
    """
    axes = np.random.default_rng(0).standard_normal((ours.shape[1], directions)).astype(ours.dtype)
    axes /= np.linalg.norm(axes, axis=0)
    spread = theirs @ axes
    gap = _quantiles(ours @ axes, quantiles) - _quantiles(spread, quantiles)
    return math.sqrt(float((gap**2).mean(0).sum()) / max(float(spread.var(0).sum()), 1e-12))


def _quantiles(values: Array, count: int) -> Array:
    """The quantile function of every column of (N, D) at `count` even levels, linear between ranks: (count, D)."""
    ordered = np.sort(values, axis=0)
    position = (np.arange(count) + 0.5) / count * (len(ordered) - 1)
    low = position.astype(int)
    share = (position - low)[:, None]
    return np.asarray(ordered[low] * (1 - share) + ordered[np.minimum(low + 1, len(ordered) - 1)] * share)
