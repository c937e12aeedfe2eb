"""Quality of a blend without ground truth. Pictures are (H, W, 3) float, 0..255; masks (H, W) in 0..1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.color import rgb2lab

from deep_image_blending.poisson import guidance_laplacian
from deep_image_blending.scene import Float, Scene, Window

Array = npt.NDArray[np.floating]


class Measure(NamedTuple):
    """What a number says, and which way is better."""

    meaning: str
    better: Literal["lower", "higher", "near 1"]


MEASURES: Mapping[str, Measure] = {
    "seam": Measure("gradient across the boundary over that of the rings beside it; 1 shows no seam", "near 1"),
    "laplacian_residual": Measure(
        "energy of the Laplacian's error over the guidance's, in the mask; 0..", "lower"
    ),
    "colour_bleed": Measure("mean low-pass shift in CIELAB of the object against its source; 0..", "lower"),
    "contrast_kept": Measure("deviation of lightness in the object over its source's", "near 1"),
    "saturation_kept": Measure("mean chroma of the object over its source's", "near 1"),
    "high_frequencies": Measure("Laplacian energy of the object over that of the target around it", "near 1"),
    "background_difference": Measure("largest change where the mask is 0, in grey levels; 0 is exact", "lower"),
    "style_distance": Measure("normalised Gram distance of the object's features to the target's; 0..", "lower"),
    "content_distance": Measure(
        "relative squared distance of the object's features to its source's; 0..", "lower"
    ),
}


def seam_visibility(picture: Array, mask: Array) -> float:
    """Mean gradient magnitude of lightness on the boundary ring over that of the rings just inside and outside.

    The boundary ring holds the pixels within 1 of the mask's edge (mask 0.5), the others those 3 to 6 away.
    """
    lightness = _lab(picture)[..., 0]
    magnitude = np.hypot(np.gradient(lightness, axis=0), np.gradient(lightness, axis=1))
    inside = mask > 0.5
    distance = np.where(inside, ndimage.distance_transform_edt(inside), ndimage.distance_transform_edt(~inside))
    beside = (distance > 2) & (distance <= 6)
    return _ratio(float(magnitude[distance <= 1].mean()), float(magnitude[beside].mean()))


def laplacian_residual(picture: Array, source: Array, target: Array, mask: Array) -> float:
    """`sum m (∇²B - ∇²S)² / sum m (∇²S)²` over the mask m (Pérez et al., 2003)."""
    weight = mask[..., None]
    wanted = guidance_laplacian(source) * weight + guidance_laplacian(target) * (1 - weight)
    error = ((guidance_laplacian(picture) - wanted) ** 2 * weight).sum()
    return _ratio(float(error), float((wanted**2 * weight).sum()))


def colour_bleed(picture: Array, source: Array, mask: Array) -> float:
    """Mean CIELAB distance (ΔE 1976) of low-passed object and source, inside the eroded mask.

    The low pass is a Gaussian over a twentieth of the root of the mask's area, weighted by the mask.
    """
    sigma = max(1.0, float(np.sqrt(mask.sum())) / 20)
    shift = (_lab(picture) - _lab(source)) * mask[..., None]
    cover = ndimage.gaussian_filter(mask.astype(np.float64), sigma)[..., None]
    smooth = ndimage.gaussian_filter(shift, (sigma, sigma, 0)) / np.maximum(cover, 1e-6)
    inner = _inner(mask)
    return float(np.linalg.norm(smooth[inner], axis=1).mean())


def contrast_kept(picture: Array, source: Array, mask: Array) -> float:
    """Standard deviation of L* inside the mask over the source's."""
    inner = _inner(mask)
    return _ratio(float(_lab(picture)[inner, 0].std()), float(_lab(source)[inner, 0].std()))


def saturation_kept(picture: Array, source: Array, mask: Array) -> float:
    """Mean chroma `hypot(a*, b*)` inside the mask over the source's."""
    inner = _inner(mask)
    ours, theirs = _lab(picture)[inner], _lab(source)[inner]
    return _ratio(
        float(np.hypot(ours[:, 1], ours[:, 2]).mean()), float(np.hypot(theirs[:, 1], theirs[:, 2]).mean())
    )


def high_frequencies(picture: Array, mask: Array) -> float:
    """Mean squared Laplacian of lightness in the mask over that of the target's surroundings (mask 0)."""
    field = guidance_laplacian(_lab(picture)[..., :1])[..., 0] ** 2
    return _ratio(float(field[mask > 0.5].mean()), float(field[mask == 0].mean()))


def background_difference(picture: Array, target: Array, mask: Array) -> float:
    """Largest absolute difference from the target where the mask is 0, in grey levels."""
    outside = mask == 0
    return float(np.abs(picture[outside] - target[outside]).max()) if outside.any() else 0.0


def evaluate_scene(
    scene: Scene, picture: Float, *, backbone: str | None = "embedded", weights: Path | None = None
) -> dict[str, float]:
    """Every measure of a finished picture (H, W, 3), 0..255, by name. backbone: None leaves out the features'."""
    top, left, bottom, right = scene.region()
    window = scene.window(max(32, (bottom - top) // 2, (right - left) // 2), 16)
    part = picture[_span(window, 0), _span(window, 1)]
    args: dict[str, Callable[[], float]] = {
        "seam": lambda: seam_visibility(part, window.mask),
        "laplacian_residual": lambda: laplacian_residual(part, window.source, window.target, window.mask),
        "colour_bleed": lambda: colour_bleed(part, window.source, window.mask),
        "contrast_kept": lambda: contrast_kept(part, window.source, window.mask),
        "saturation_kept": lambda: saturation_kept(part, window.source, window.mask),
        "high_frequencies": lambda: high_frequencies(part, window.mask),
        "background_difference": lambda: background_difference(
            picture, scene.window(None).target, scene.window(None).mask
        ),
    }
    found = {name: measure() for name, measure in args.items()}
    if backbone is not None:
        found |= feature_measures(window, part, backbone, weights)
    return found


def feature_measures(window: Window, picture: Array, backbone: str, weights: Path | None) -> dict[str, float]:
    """Style distance to the target and content distance to the source, in a backbone's features.

        Style: mean over layers of `‖G - G_T‖² / ‖G_T‖²`, G in the mask, G_T over the window's target (Gatys
    X
    """
    import torch

    from deep_image_blending import losses
    from deep_image_blending.backbones import default_taps, load_backbone
    from deep_image_blending.objective import resample

    style_taps, content_tap = default_taps(backbone)
    taps = {*style_taps, content_tap}
    network = load_backbone(backbone, taps, weights=weights).network.to(torch.device("cpu"))

    def tensor(image: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None]

    mask = torch.from_numpy(window.mask)[None, None]
    strides = network.strides()
    with torch.no_grad():
        ours, theirs, own = (
            network.features(tensor(image), taps) for image in (picture, window.target, window.source)
        )
        distances = []
        for tap in style_taps:
            weight = resample(mask, strides[tap], (ours[tap].shape[2], ours[tap].shape[3]))
            moments = losses.second_moment(ours[tap], weight), losses.second_moment(theirs[tap])
            a, b = (losses.style_statistics(losses.project_moment(m, network.heads.get(tap))) for m in moments)
            distances.append(float(losses.style_distance(a, b)))
        weight = resample(mask, strides[content_tap], (ours[content_tap].shape[2], ours[content_tap].shape[3]))
        head = network.heads.get(content_tap)
        blend, reference = (losses.apply_head(found[content_tap], head) for found in (ours, own))
        content = float(losses.content_loss(blend, reference, weight))
    return {"style_distance": float(np.mean(distances)), "content_distance": content}


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


def _ratio(value: float, base: float) -> float:
    return value / max(base, 1e-9)
