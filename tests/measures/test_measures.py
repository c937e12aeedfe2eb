"""Measures on constructed pictures whose answer is known."""

from __future__ import annotations

import json
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage.color import lab2rgb, rgb2lab

from deep_image_blending import losses
from deep_image_blending.cli.app import run_command
from deep_image_blending.errors import InputError
from deep_image_blending.measures import MEASURES, evaluate_scene, measure
from deep_image_blending.measures.background_difference import largest_change
from deep_image_blending.measures.blend import Blend, View
from deep_image_blending.measures.colour_bleed import colour_shift
from deep_image_blending.measures.content_distance import feature_distance
from deep_image_blending.measures.contrast_kept import contrast_ratio
from deep_image_blending.measures.features import features_of
from deep_image_blending.measures.high_frequencies import laplacian_energy_ratio
from deep_image_blending.measures.laplacian_residual import laplacian_error
from deep_image_blending.measures.saturation_kept import saturation_ratio
from deep_image_blending.measures.seam import seam_visibility
from deep_image_blending.measures.style_distance import gram_distance
from deep_image_blending.measures.style_wasserstein import sliced_wasserstein
from deep_image_blending.networks import backbones
from deep_image_blending.pictures import load_picture
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.scene import Scene, Window, compose_scene
from tests.conftest import Case, disc_mask, smooth_picture
from tests.pictures.made import ADOBE

MASK = disc_mask(60, 64).astype(np.float32) / 255
HALF = np.repeat([[0.0, 1.0]], 32, 1).repeat(60, 0).astype(np.float32)
"""(60, 64): 0 in the left half, 1 in the right."""


def _smooth(seed: int) -> np.ndarray:
    return ndimage.gaussian_filter(smooth_picture(seed, 60, 64).astype(float), (2, 2, 0))


def view_of(picture: np.ndarray, source: np.ndarray | None = None, *, mask: np.ndarray) -> View:
    """A picture that is a window of its own; without a source its own."""
    own, mask = (picture if source is None else source).astype(np.float32), mask.astype(np.float32)
    return View(picture.astype(np.float32), Window(own, mask, 0 * own, 0, 0, (mask.shape[0], mask.shape[1])))


def _grey(lightness: np.ndarray) -> np.ndarray:
    """The grey picture (H, W, 3), 0..255, of this L* (H, W)."""
    return lab2rgb(np.stack([lightness, 0 * lightness, 0 * lightness], -1)) * 255


def _placed(target: np.ndarray) -> Scene:
    """A part of the target as the object, where it was."""
    return compose_scene(load_picture(target[10:70, 10:74]), MASK, load_picture(target), Placement(x=40, y=42))


def test_a_perfect_copy_has_no_seam_no_bleed_and_no_residual() -> None:
    picture = _smooth(1)
    assert seam_visibility(view_of(picture, mask=MASK)) == pytest.approx(1, abs=0.25)
    assert colour_shift(view_of(picture, picture, mask=MASK)) == 0
    assert laplacian_error(picture, picture, picture, MASK) == pytest.approx(0, abs=1e-20)
    assert contrast_ratio(view_of(picture, picture, mask=MASK)) == 1
    assert saturation_ratio(view_of(picture, picture, mask=MASK)) == 1
    assert largest_change(picture, picture, MASK) == 0


@pytest.mark.parametrize("step", [0.0, 3.0, -2.0])
def test_the_seam_of_a_step_on_a_ramp_is_its_gradient_over_the_ramps(step: float) -> None:
    slope = 0.75
    lightness = 20 + slope * np.arange(64)[None] + step * HALF
    # Central differences see half the step on either side of the edge.
    expected = abs(slope + step / 2) / slope
    assert seam_visibility(view_of(_grey(lightness), mask=HALF)) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("mask", [np.zeros((60, 64)), np.ones((60, 64)), np.pad(np.ones((1, 1)), 1)])
def test_a_mask_without_boundary_or_rings_has_no_seam(mask: np.ndarray) -> None:
    assert np.isnan(seam_visibility(view_of(_smooth(1)[: mask.shape[0], : mask.shape[1]], mask=mask)))


def test_the_residual_of_a_faded_object_is_the_square_of_what_is_gone() -> None:
    source, everywhere = _smooth(2), np.ones((60, 64), np.float32)
    residual = laplacian_error(40 + 0.7 * source, source, 0 * source, everywhere)
    assert residual == pytest.approx(0.3**2, rel=1e-6)


def test_under_a_soft_mask_the_residual_wants_the_mixture_of_both_laplacians() -> None:
    source, target, soft = _smooth(2), _smooth(3), np.full((60, 64), 0.25, np.float32)
    assert laplacian_error(0.25 * source + 0.75 * target, source, target, soft) == pytest.approx(0)


def test_colour_bleed_is_the_constant_shift_in_lab() -> None:
    source = lab2rgb(np.broadcast_to([55.0, 10.0, -12.0], (60, 64, 3))) * 255
    moved = lab2rgb(np.broadcast_to([58.0, 14.0, -12.0], (60, 64, 3))) * 255
    assert colour_shift(view_of(moved, source, mask=MASK)) == pytest.approx(5.0, abs=0.02)


def test_fine_texture_is_no_colour_bleed() -> None:
    checks = np.indices((60, 64)).sum(0) % 2 * 2.0 - 1
    assert colour_shift(view_of(_grey(50 + 10 * checks), _grey(50 + 0 * checks), mask=MASK)) < 0.5


def test_colour_shift_of_a_large_object_is_that_of_its_pixels() -> None:
    """Blocks stand for pixels under a wide blur: the same number as by the blur itself, written out."""
    rng = np.random.default_rng(0)
    mask = np.zeros((420, 431), np.float32)
    mask[20:400, 15:420] = 1
    source = rng.uniform(60, 200, (420, 431, 3))
    picture = source + np.linspace(0, 40, 431)[None, :, None] * np.array([1.0, 0.2, -0.5])
    sigma = np.sqrt(mask.sum()) / 20
    assert sigma > 16
    shift = (rgb2lab(picture.clip(0, 255) / 255) - rgb2lab(source / 255)) * mask[..., None]
    smooth = (
        ndimage.gaussian_filter(shift, (sigma, sigma, 0))
        / np.maximum(ndimage.gaussian_filter(mask.astype(np.float64), sigma), 1e-6)[..., None]
    )
    eroded = ndimage.binary_erosion(mask > 0.5, iterations=2)
    assert colour_shift(view_of(picture, source, mask=mask)) == pytest.approx(
        np.linalg.norm(smooth[eroded], axis=1).mean(), rel=0.01
    )


def test_contrast_and_saturation_are_the_factors_that_were_applied() -> None:
    lab = rgb2lab(_smooth(3) / 255 * 0.3 + 0.35)
    changed = lab.copy()
    changed[..., 0] = 50 + 0.5 * (lab[..., 0] - 50)
    changed[..., 1:] *= 0.25
    picture, source = lab2rgb(changed) * 255, lab2rgb(lab) * 255
    assert contrast_ratio(view_of(picture, source, mask=MASK)) == pytest.approx(0.5, abs=0.02)
    assert saturation_ratio(view_of(picture, source, mask=MASK)) == pytest.approx(0.25, abs=0.02)


def test_high_frequencies_are_the_square_of_the_ratio_of_checks() -> None:
    checks = np.indices((60, 64)).sum(0) % 2 * 2.0 - 1
    picture = _grey(50 + np.where(MASK > 0, 3.0, 6.0) * checks)
    # The rows at the border have a neighbour less.
    assert laplacian_energy_ratio(view_of(picture, mask=MASK)) == pytest.approx(0.25, rel=0.08)
    assert np.isnan(laplacian_energy_ratio(view_of(picture, mask=np.ones_like(MASK))))


def test_background_difference_is_the_largest_change_outside() -> None:
    target = _smooth(1)
    changed = target.copy()
    changed[0, 0, 1] += 7
    changed[30, 32] += 99
    assert largest_change(changed, target, MASK) == pytest.approx(7)


def test_sliced_wasserstein_knows_permutations_shifts_and_spreads() -> None:
    random = np.random.default_rng(5)
    cloud = random.normal(size=(3000, 6))
    assert sliced_wasserstein(random.permutation(cloud), cloud) == pytest.approx(0, abs=1e-9)
    assert sliced_wasserstein(cloud + cloud.std(0), cloud) == pytest.approx(1, rel=0.15)
    centred = cloud - cloud.mean(0)
    assert sliced_wasserstein(1.5 * centred, centred) == pytest.approx(0.5, rel=0.02)


def test_sliced_wasserstein_in_one_dimension_is_scipys() -> None:
    random = np.random.default_rng(6)
    ours, theirs = random.normal(size=(500, 1)) + 3, random.normal(size=(700, 1))
    levels = (np.arange(256) + 0.5) / 256
    gap = np.quantile(ours[:, 0], levels) - np.quantile(theirs[:, 0], levels)
    expected = np.sqrt((gap**2).mean() / theirs.var())
    assert sliced_wasserstein(ours, theirs) == pytest.approx(expected, rel=1e-9)


def test_evaluating_a_scene_gives_every_measure_and_the_target_has_no_style_distance() -> None:
    target = smooth_picture(2, 90, 96)
    found = evaluate_scene(_placed(target), target.astype(np.float32), backbone="random")
    assert found.keys() == MEASURES.keys()
    assert found["content_distance"] < 0.02
    assert found["style_distance"] < 0.25
    assert found["style_wasserstein"] < 0.5
    assert found["colour_bleed"] < 1e-9
    assert found["laplacian_residual"] < 1e-9
    assert found["background_difference"] == 0


def test_feature_distances_are_those_of_plain_features_of_the_whole_window() -> None:
    target, source = (smooth_picture(seed, 96, 96).astype(np.float32) for seed in (2, 3))
    blend, mask = 0.5 * target + 0.5 * source, np.zeros((96, 96), np.float32)
    mask[36:60, 40:68] = 1
    features = features_of(View(blend, Window(source, mask, target, 0, 0, (96, 96))), "embedded")
    network = backbones.load_backbone("embedded", {"relu1_2", "relu2_2", "relu3_3"}).network

    def seen(picture: np.ndarray, tap: str, stride: int, inside: bool) -> np.ndarray:
        image = torch.from_numpy(picture).permute(2, 0, 1)[None]
        with torch.no_grad():
            features = losses.apply_head(network.features(image, {tap})[tap], network.heads.get(tap))
        cloud = features[0].permute(1, 2, 0).double().numpy()
        return cloud[mask[::stride, ::stride] > 0] if inside else cloud.reshape(-1, cloud.shape[-1])

    distances = []
    for tap, stride in (("relu1_2", 1), ("relu2_2", 2), ("relu3_3", 4)):
        ours, theirs = seen(blend, tap, stride, inside=True), seen(target, tap, stride, inside=False)
        gram, wanted = ours.T @ ours / len(ours), theirs.T @ theirs / len(theirs)
        distances.append(((gram - wanted) ** 2).sum() / (wanted**2).sum())
    assert gram_distance(features) == pytest.approx(np.mean(distances), rel=1e-3)
    ours, own = (seen(picture, "relu2_2", 2, inside=True) for picture in (blend, source))
    assert feature_distance(features) == pytest.approx(((ours - own) ** 2).sum() / (own**2).sum(), rel=1e-3)


def test_measures_can_be_listed_at_once_without_what_they_compute_with(tmp_path: Path) -> None:
    code = (
        "import sys; from deep_image_blending.measures import MEASURES; "
        "assert len(MEASURES) >= 10; sys.exit(any(name in sys.modules for name in ('torch', 'scipy', 'skimage')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


def test_every_measure_says_what_it_is_in_words_that_fit_a_table() -> None:
    assert next(iter(MEASURES)) == "seam"
    for name, one in MEASURES.items():
        assert name == one.name
        assert one.better in typing.get_args(measure.Better)
        assert one.range.startswith("0..")
        assert one.said == f"{one.meaning}; {one.range}"


def test_without_a_network_the_measures_of_features_are_left_out() -> None:
    target = smooth_picture(2, 90, 96)
    found = evaluate_scene(_placed(target), target, backbone=None)
    assert found.keys() == {name for name, one in MEASURES.items() if not one.of_features}


def test_a_measure_is_one_new_file_that_declares_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_declared", dict(measure._declared))

    @measure.measure("mean grey level", range="0..255", better="higher", about="surroundings")
    def brightness(blend: Blend) -> float:
        return float(blend.close.picture.mean())

    assert list(measure.declared()) == [
        *list(MEASURES)[:-4],
        "background_difference",
        "brightness",
        *list(MEASURES)[-3:],
    ]
    target = smooth_picture(2, 90, 96)
    assert 0 < evaluate_scene(_placed(target), target, backbone=None)["brightness"] < 255


def test_a_picture_of_another_size_is_refused() -> None:
    target = smooth_picture(2, 90, 96)
    with pytest.raises(InputError, match="the picture is 96x89 but the canvas is 96x90"):
        evaluate_scene(_placed(target), target[:89].astype(np.float32))


def test_a_target_with_a_colour_profile_is_measured_in_srgb(case: Case, tmp_path: Path) -> None:
    with Image.open(case.target) as image:
        image.save(case.target, icc_profile=ADOBE)
    run = tmp_path / "run"
    assert run_command(["run", *case.options(), "--output-dir", str(run), "--num-steps", "2", "--quiet"]) == 0
    measured = json.loads((run / "run.json").read_text(encoding="utf-8"))["metrics"]
    assert [found["background_difference"] for found in measured.values()] == [0, 0]
