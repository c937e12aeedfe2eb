"""The wanted palette: sliced optimal transport against the closed form, and a map that keeps order and edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from scipy.stats import wasserstein_distance
from skimage import color

from deep_image_blending.objectives import recipe
from deep_image_blending.objectives.palette import (
    at_lightness,
    contrast_at_edge,
    edge_of,
    hues_at_lightness,
    in_palette,
    legible,
    regained,
    smooth_map,
    transported,
    without_rim,
)
from tests.conftest import disc_mask, smooth_picture


def test_transport_of_colours_along_one_axis_is_the_monotone_map() -> None:
    """In one dimension optimal transport sends quantiles to quantiles."""
    dice = np.random.default_rng(1)
    ours, theirs = np.zeros((4000, 3)), np.zeros((4000, 3))
    ours[:, 0], theirs[:, 0] = dice.normal(50, 5, 4000), dice.gamma(4, 6, 4000)
    moved = transported(ours, theirs, steps=1)[:, 0]
    expected = np.empty(4000)
    expected[np.argsort(ours[:, 0])] = np.sort(theirs[:, 0])
    inner = np.abs(ours[:, 0] - 50) < 8
    assert np.abs(moved - expected)[inner].mean() < 0.5


def test_transport_brings_every_projection_close() -> None:
    dice = np.random.default_rng(2)
    ours = dice.normal([60, 10, 10], 5, (3000, 3))
    theirs = dice.normal(0, 1, (3000, 3)) @ np.array([[9.0, 3, 0], [0, 4, 1], [0, 0, 2]]) + [40, -10, 25]
    moved = transported(ours, theirs)
    for axis in dice.normal(size=(8, 3)):
        unit = axis / np.linalg.norm(axis)
        assert wasserstein_distance(moved @ unit, theirs @ unit) < 0.1 * wasserstein_distance(
            ours @ unit, theirs @ unit
        )


def test_the_smooth_map_keeps_the_order_of_lightness_and_like_colours_alike() -> None:
    dice = np.random.default_rng(3)
    sample = np.stack([dice.uniform(20, 80, 2000), dice.normal(0, 10, 2000), dice.normal(0, 10, 2000)], 1)
    goal = sample * [0.4, 1.5, 0.5] + [40, 20, -20]
    greys = np.zeros((61, 3))
    greys[:, 0] = np.arange(20, 81)
    moved = smooth_map(greys, sample, goal, 1.0, 1.0)
    assert (np.diff(moved[:, 0]) > 0).all()
    assert np.abs(np.diff(moved, axis=0)).max() < 2


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_strength_is_the_way_from_the_objects_colours_to_the_paintings(strength: float) -> None:
    content, target = smooth_picture(1, 90, 96).astype(np.float32), smooth_picture(2, 90, 96).astype(np.float32)
    content, target = content * [0.9, 0.3, 0.2], target * [0.2, 0.4, 1.0]
    mask = disc_mask(90, 96).astype(np.float32) / 255
    wanted = in_palette(content.astype(np.float32), target.astype(np.float32), mask, strength).picture
    np.testing.assert_array_equal(wanted[mask == 0], content.astype(np.float32)[mask == 0])
    means = [color.rgb2lab(image / 255)[mask > 0].mean(0)[1:] for image in (content, target, wanted)]
    way = (means[2] - means[0]) @ (means[1] - means[0]) / ((means[1] - means[0]) @ (means[1] - means[0]))
    assert way == pytest.approx(strength, abs=0.2)


def test_a_dark_object_on_a_light_painting_keeps_its_edge() -> None:
    content, target = np.full((80, 80, 3), 30, np.float32), np.full((80, 80, 3), 210, np.float32)
    target += np.random.default_rng(0).normal(0, 6, target.shape).astype(np.float32)
    mask = disc_mask(80, 80).astype(np.float32) / 255
    wanted, merged = in_palette(content, target, mask, 1.0)
    assert merged < 1
    lab, painting = color.rgb2lab(wanted / 255), color.rgb2lab(target / 255)
    assert np.abs(contrast_at_edge(lab, painting, mask > 0.5)).min() > 15


def test_a_pale_half_before_a_pale_sky_is_not_lost_for_the_dark_half() -> None:
    target = np.full((80, 80, 3), 150, np.float32)
    target += np.random.default_rng(0).normal(0, 12, target.shape).astype(np.float32)
    content = np.full((80, 80, 3), 20, np.float32)
    content[:, 40:] = 245
    mask = disc_mask(80, 80).astype(np.float32) / 255
    wanted, _ = in_palette(content, target, mask, 0.7)
    gaps = contrast_at_edge(color.rgb2lab(wanted / 255), color.rgb2lab(target / 255), mask > 0.5)
    assert (np.abs(gaps) >= 10).mean() > 0.85


def test_what_melted_gets_its_edge_back_and_nothing_else_changes() -> None:
    inside = np.zeros((100, 140), bool)
    inside[20:80, 20:120] = True
    lightness = np.where(np.arange(140) < 70, 20.0, 95.0) * np.ones((100, 1))
    columns = edge_of(inside)[1]
    before = np.where(columns < 70, -40.0, 35.0)
    after = np.where(columns < 70, -20.0, 4.0)
    change = regained(before, after, lightness, inside)
    # The light half gets what it lacks at its edge, less inside; the dark half, which is seen, stays.
    assert change[22, 100] == pytest.approx(recipe.REGAINED - 4, rel=0.15)
    assert 0 <= change[50, 95] < 0.5 * change[22, 95]
    assert np.abs(change[:, :66]).max() < 0.05
    assert np.abs(change[~inside]).max() == 0
    assert not regained(before, before, lightness, inside).any()


def test_no_step_in_between_goes_further_than_the_whole_way() -> None:
    content, target = np.full((80, 80, 3), 30, np.float32), np.full((80, 80, 3), 210, np.float32)
    content[:, 40:] = 60
    target += np.random.default_rng(0).normal(0, 6, target.shape).astype(np.float32)
    mask = disc_mask(80, 80).astype(np.float32) / 255
    light = [
        color.rgb2lab(in_palette(content, target, mask, s / 10).picture / 255)[..., 0][mask > 0.5].mean()
        for s in range(11)
    ]
    steps = np.diff(light)
    assert (steps > 0).all()
    assert steps.max() < 3 * steps.mean()


@pytest.mark.parametrize(
    ("before", "after", "lost", "seen"),
    [
        ([30, 30, 30, 30], [25, 25, 25, 25], 0.0, True),
        ([30, 30, 30, 30], [12, 12, 12, 12], 0.5, False),  # as a whole
        ([40, 40, 40, 15], [40, 40, 40, 2], 0.2, False),  # one quarter melts
        ([40, 40, 40, 15], [40, 40, 40, 2], 0.3, True),
        ([40, 40, 40, 5], [40, 40, 40, 0], 0.0, True),  # nothing was seen there
    ],
)
def test_an_edge_is_legible_as_a_whole_and_nearly_everywhere(
    before: list[float], after: list[float], lost: float, seen: bool
) -> None:
    assert legible(np.array(before, float), np.array(after, float), lost) is seen


def test_colours_are_drawn_that_are_about_as_light() -> None:
    dice = np.random.default_rng(0)
    light = dice.uniform(0, 100, 4000)
    palette = np.column_stack([light, np.where(light < 50, -40, 40), np.zeros(4000)])
    asked = dice.uniform(0, 100, 3000)
    drawn = at_lightness(palette, asked)
    assert np.abs(drawn[:, 0] - asked).mean() < 8
    assert (drawn[asked < 30, 1] == -40).mean() > 0.95
    assert (drawn[asked > 70, 1] == 40).mean() > 0.95


def test_a_colour_takes_the_nearest_hue_and_a_grey_what_the_painting_has_most() -> None:
    dice = np.random.default_rng(0)
    few = np.arange(2000) % 10 == 0
    palette = np.column_stack([dice.uniform(40, 60, 2000), np.where(few, 20, -20), np.where(few, 40, 20)])
    skin, grey = (np.array([50.0, *hue]) + dice.normal(0, 1, (500, 3)) for hue in ((12, 18), (0, 0)))
    for colours in (skin, grey):
        most = hues_at_lightness(colours, palette, 0.0)
        np.testing.assert_allclose(most.mean(0), palette[:, 1:].mean(0), atol=4)
    near = hues_at_lightness(skin, palette, 1.0)
    angle = np.degrees(np.arctan2(near[:, 1], near[:, 0])).mean()
    assert angle == pytest.approx(np.degrees(np.arctan2(40, 20)), abs=15)
    assert np.hypot(near[:, 0], near[:, 1]).mean() < 1.5 * np.hypot(12, 18)
    np.testing.assert_allclose(hues_at_lightness(grey, palette, 1.0), most, atol=4)


def test_an_accent_in_a_hue_that_the_painting_has_not_fades() -> None:
    content, target = (
        np.full((80, 80, 3), (120, 90, 60), np.float32),
        np.full((80, 80, 3), (150, 120, 40), np.float32),
    )
    target += np.random.default_rng(0).normal(0, 8, target.shape).astype(np.float32)
    content[36:42, 36:42] = (40, 200, 230)
    mask = disc_mask(80, 80).astype(np.float32) / 255
    found = [
        color.rgb2lab(in_palette(content, target, mask, strength).picture[36:42, 36:42] / 255)[..., 1:]
        for strength in (0.0, 0.5, 1.0)
    ]
    own = found[0][0, 0] / np.linalg.norm(found[0][0, 0])
    kept = [float((chroma @ own).max()) for chroma in found]
    assert kept[0] > 30
    assert kept[0] > kept[1] > kept[2]
    assert kept[2] < 6


def test_a_hard_masks_rim_is_coloured_from_inside_and_a_soft_ones_is_not() -> None:
    mask = (disc_mask(60, 60) > 0).astype(np.float32)
    depth = distance_transform_edt(mask)
    content = np.repeat(np.where(depth > 2.5, 200, 20).astype(np.float32)[..., None], 3, 2)
    bare = without_rim(content, mask)
    assert (bare[mask > 0] == 200).all()
    np.testing.assert_array_equal(bare[mask == 0], content[mask == 0])
    np.testing.assert_array_equal(without_rim(content, 0.9 * mask), content)
