"""Quality of a blend without ground truth. Pictures are (H, W, 3) float, 0..255; masks (H, W) in 0..1.

Every measure's formula stands with its function, its range and which way is better in `MEASURES` as well. None of
them knows the truth: an object may differ from its surroundings because it is another thing. They tell blends of
one scene apart, not scenes.

A measure that has nothing to compare, such as the seam of a mask without a boundary, is nan, and `evaluate_scene`
leaves it out. Lightness and colour are CIELAB's (L* in 0..100) of sRGB under D65.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.color import rgb2lab

from deep_image_blending.errors import InputError
from deep_image_blending.pictures import Scene, Window, as_float
from deep_image_blending.solve.poisson import guidance_laplacian

if TYPE_CHECKING:
    from torch import Tensor

    from deep_image_blending.networks.network import Head


Array = npt.NDArray[np.floating]

LONGEST = 640
"""Features are taken at full size up to this longer side of the window, in larger ones at a half, a third, ..."""
SAMPLES = 4096
"""Most positions of a layer whose distribution is compared."""


class Measure(NamedTuple):
    """What a number says, with its range, and which way is better."""

    meaning: str
    better: Literal["lower", "higher", "near 1"]


MEASURES: Mapping[str, Measure] = {
    "seam": Measure("gradient across the boundary over that of the rings beside it; 0.., 1: no seam", "near 1"),
    "laplacian_residual": Measure(
        "energy of the Laplacian's error over the guidance's, in the mask; 0..", "lower"
    ),
    "colour_bleed": Measure("mean low-pass shift in CIELAB of the object against its source; 0..", "lower"),
    "contrast_kept": Measure("deviation of lightness in the object over its source's; 0..", "near 1"),
    "saturation_kept": Measure("mean chroma of the object over its source's; 0..", "near 1"),
    "high_frequencies": Measure("Laplacian energy of the object over the surroundings'; 0..", "near 1"),
    "background_difference": Measure("largest change where the mask is 0, in grey levels; 0..255", "lower"),
    "style_distance": Measure("normalised Gram distance of the object's features to the target's; 0..", "lower"),
    "style_wasserstein": Measure(
        "sliced Wasserstein distance of the object's features to the target's, over their spread; 0..", "lower"
    ),
    "content_distance": Measure(
        "relative squared distance of the object's features to its source's; 0..", "lower"
    ),
}


def seam_visibility(picture: Array, mask: Array) -> float:
    """Mean gradient magnitude of L* on the boundary ring over that of the rings just inside and outside. Near 1.

    0..; above 1 the boundary shows, below 1 it is smoother than what lies beside it. The boundary ring holds the
    pixels beside the mask's edge (mask 0.5), the others those whose distance to it is 3 to 6. nan where the mask
    has no boundary, or is so small that there are no other rings.
    """
    inside = mask > 0.5
    if inside.all() or not inside.any():
        return math.nan
    lightness = _lab(picture)[..., 0]
    magnitude = np.hypot(np.gradient(lightness, axis=0), np.gradient(lightness, axis=1))
    distance = np.where(inside, ndimage.distance_transform_edt(inside), ndimage.distance_transform_edt(~inside))
    beside = (distance >= 3) & (distance <= 6)
    return _ratio(_mean(magnitude[distance <= 1]), _mean(magnitude[beside]))


def laplacian_residual(picture: Array, source: Array, target: Array, mask: Array) -> float:
    """`sum m (∇²B - V)² / sum m V²` over the mask m, with `V = m ∇²S + (1 - m) ∇²T` (Pérez et al., 2003).

    0.., lower is better: 0 for Poisson cloning under a hard mask.
    """
    weight = mask[..., None]
    wanted = guidance_laplacian(source) * weight + guidance_laplacian(target) * (1 - weight)
    error = ((guidance_laplacian(picture) - wanted) ** 2 * weight).sum()
    return float(error) / max(float((wanted**2 * weight).sum()), 1e-9)


def colour_bleed(picture: Array, source: Array, mask: Array) -> float:
    """Mean CIELAB distance (ΔE 1976) of low-passed object and source, inside the eroded mask.

    0.., lower is better; 2.3 is about a just noticeable difference. The low pass is a Gaussian of a twentieth of
    the root of the mask's area (1 pixel at least), weighted by the mask.
    """
    sigma = max(1.0, float(np.sqrt(mask.sum())) / 20)
    shift = (_lab(picture) - _lab(source)) * mask[..., None]
    cover = ndimage.gaussian_filter(mask.astype(np.float64), sigma)[..., None]
    smooth = ndimage.gaussian_filter(shift, (sigma, sigma, 0)) / np.maximum(cover, 1e-6)
    inner = _inner(mask)
    return float(np.linalg.norm(smooth[inner], axis=1).mean())


def contrast_kept(picture: Array, source: Array, mask: Array) -> float:
    """Standard deviation of L* inside the eroded mask over the source's. 0.., near 1 is better."""
    inner = _inner(mask)
    return _ratio(float(_lab(picture)[inner, 0].std()), float(_lab(source)[inner, 0].std()))


def saturation_kept(picture: Array, source: Array, mask: Array) -> float:
    """Mean chroma `hypot(a*, b*)` inside the eroded mask over the source's. 0.., near 1 is better."""
    inner = _inner(mask)
    ours, theirs = _lab(picture)[inner], _lab(source)[inner]
    return _ratio(
        float(np.hypot(ours[:, 1], ours[:, 2]).mean()), float(np.hypot(theirs[:, 1], theirs[:, 2]).mean())
    )


def high_frequencies(picture: Array, mask: Array) -> float:
    """Mean squared Laplacian of L* in the eroded mask over that of the surroundings (mask 0). Near 1 is better.

    0..; below 1 the object is smoother or less grainy than what is around it. nan without surroundings.
    """
    field = guidance_laplacian(_lab(picture)[..., :1])[..., 0] ** 2
    # The Laplacian of a pixel at the seam sees both sides.
    around = ndimage.binary_erosion(mask == 0, border_value=1)
    return _ratio(_mean(field[_inner(mask)]), _mean(field[around]))


def background_difference(picture: Array, target: Array, mask: Array) -> float:
    """Largest absolute difference from the target where the mask is 0, in grey levels: 0..255, and must be 0."""
    outside = mask == 0
    return float(np.abs(picture[outside] - target[outside]).max()) if outside.any() else 0.0


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


def evaluate_scene(
    scene: Scene, picture: npt.NDArray[Any], *, backbone: str | None = "embedded", weights: Path | None = None
) -> dict[str, float]:
    """Every measure of a finished picture, by name; those that have no value are left out.

    picture: (H, W, 3), uint8, uint16, or float in 0..255, in sRGB.

    They look at the object and its surroundings: its box with a margin of half the box, 32 pixels at least.
    backbone: whose features measure style and content; None leaves these out. weights: as for `load_backbone`.

    Raises InputError where the picture has not the canvas's size, or the backbone can't be had.
    """
    if picture.shape[:2] != scene.canvas:
        raise InputError(
            f"the picture is {picture.shape[1]}x{picture.shape[0]} but the canvas is "
            f"{scene.canvas[1]}x{scene.canvas[0]}: give a blend of this target"
        )
    top, left, bottom, right = scene.region()
    # The rings of the seam are the farthest from the mask that the object's own measures look.
    close, wide = scene.window(8), scene.window(max(32, (bottom - top) // 2, (right - left) // 2), 16)
    own, around = (as_float(picture[_span(window, 0), _span(window, 1)]) for window in (close, wide))
    found = {
        "seam": seam_visibility(own, close.mask),
        "laplacian_residual": laplacian_residual(own, close.source, close.target, close.mask),
        "colour_bleed": colour_bleed(own, close.source, close.mask),
        "contrast_kept": contrast_kept(own, close.source, close.mask),
        "saturation_kept": saturation_kept(own, close.source, close.mask),
        "high_frequencies": high_frequencies(around, wide.mask),
        "background_difference": _background_difference(scene, picture),
    }
    if backbone is not None:
        found |= feature_measures(wide, around, backbone, weights)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def feature_measures(
    window: Window, picture: Array, backbone: str, weights: Path | None = None
) -> dict[str, float]:
    """Style distances to the target and content distance to the source, in a backbone's features.

    style_distance: mean over layers of `‖G - G_T‖² / ‖G_T‖²`, G in the mask, G_T over the window's target (Gatys
        et al., 2016). style_wasserstein: mean over layers of `sliced_wasserstein` of the same, of at most
        `SAMPLES` positions drawn with a fixed seed.
    content_distance: `sum m |F - F_S|² / sum m |F_S|²` at the content layer, m the mask resampled to it.

    picture (h, w, 3): the blend in the window. Windows larger than `LONGEST` are scaled down by a whole number.
    """
    import torch

    from deep_image_blending import losses
    from deep_image_blending.networks.backbones import default_taps, load_backbone
    from deep_image_blending.networks.mask_regions import resample

    factor = -(-max(window.mask.shape) // LONGEST)
    blend = dataclasses.replace(window, source=np.asarray(picture, np.float32)).coarser(factor).source
    window = window.coarser(factor)
    style_taps, content_tap = default_taps(backbone)
    taps = {*style_taps, content_tap}
    network = load_backbone(backbone, taps, weights=weights).network.to(torch.device("cpu"))
    strides = network.strides()
    place = _seen_by(window.mask, network.reach(), max(strides.values()))
    mask = torch.from_numpy(window.mask[place])[None, None]
    gram, sliced = [], []
    with torch.no_grad():
        ours, own, theirs = (
            network.features(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None], taps)
            for image in (blend[place], window.source[place], window.target)
        )
        weight_of = {
            tap: resample(mask, strides[tap], (found.shape[2], found.shape[3])) for tap, found in ours.items()
        }
        for tap in style_taps:
            head, weight = network.heads.get(tap), weight_of[tap]
            moments = losses.second_moment(ours[tap], weight), losses.second_moment(theirs[tap])
            a, b = (losses.style_statistics(losses.project_moment(moment, head)) for moment in moments)
            gram.append(float(losses.style_distance(a, b)))
            inside = weight.flatten() >= min(0.5, float(weight.max()))
            sliced.append(sliced_wasserstein(_cloud(ours[tap], head, inside), _cloud(theirs[tap], head)))
        head = network.heads.get(content_tap)
        kept, reference = (losses.apply_head(found[content_tap], head) for found in (ours, own))
        content = float(losses.content_loss(kept, reference, weight_of[content_tap]))
    return {
        "style_distance": float(np.mean(gram)),
        "style_wasserstein": float(np.mean(sliced)),
        "content_distance": content,
    }


def _seen_by(mask: Array, reach: int, align: int) -> tuple[slice, slice]:
    """The mask's box with all that the features in it see, its corner a multiple of `align`."""
    rows, columns = ndimage.find_objects((mask > 0).astype(np.uint8))[0]
    top, left = (max(0, span.start - reach) // align * align for span in (rows, columns))
    return slice(top, rows.stop + reach), slice(left, columns.stop + reach)


def _cloud(features: Tensor, head: Head | None, chosen: Tensor | None = None) -> Array:
    """Features (1, C, H, W) at the chosen positions (H·W), or a sample of them, seen through the head: (N, C')."""
    from deep_image_blending import losses

    flat = features[0].flatten(1)
    places = np.arange(flat.shape[1]) if chosen is None else chosen.nonzero().flatten().numpy()
    if len(places) > SAMPLES:
        places = np.random.default_rng(0).choice(places, SAMPLES, replace=False)
    seen = losses.apply_head(flat[:, places][None, :, :, None], head)
    return np.asarray(seen[0, :, :, 0].T.numpy())


def _quantiles(values: Array, count: int) -> Array:
    """The quantile function of every column of (N, D) at `count` even levels, linear between ranks: (count, D)."""
    ordered = np.sort(values, axis=0)
    position = (np.arange(count) + 0.5) / count * (len(ordered) - 1)
    low = position.astype(int)
    share = (position - low)[:, None]
    return np.asarray(ordered[low] * (1 - share) + ordered[np.minimum(low + 1, len(ordered) - 1)] * share)


def _background_difference(scene: Scene, picture: npt.NDArray[Any]) -> float:
    """`background_difference` of the canvas, in strips: large ones are not copied as a whole."""
    mask = np.zeros(scene.canvas, np.float32)
    part, top, left = scene.canvas_mask_crop()
    mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    target, worst = scene.target.pixels, 0.0
    for start in range(0, len(mask), 64):
        rows = slice(start, start + 64)
        # A picture of the target's depth is for the most part the target itself.
        if picture.dtype != target.dtype or not np.array_equal(picture[rows], target[rows]):
            found = background_difference(as_float(picture[rows]), as_float(target[rows]), mask[rows])
            worst = max(worst, found)
    return worst


def _span(window: Window, axis: int) -> slice:
    start = (window.top, window.left)[axis]
    return slice(start, start + window.mask.shape[axis])


def _lab(picture: Array) -> npt.NDArray[np.float64]:
    return np.asarray(rgb2lab(np.clip(picture, 0, 255).astype(np.float64) / 255))


def _inner(mask: Array) -> npt.NDArray[np.bool_]:
    """The mask without its edge, or all of it where nothing else is left."""
    inside = mask > 0.5
    eroded = ndimage.binary_erosion(inside, iterations=2)
    if eroded.any():
        return np.asarray(eroded)
    return np.asarray(inside if inside.any() else mask > 0)


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else math.nan


def _ratio(value: float, base: float) -> float:
    """value / base, and 1 where both are 0: flat stays flat."""
    return (value + 1e-9) / (base + 1e-9)
