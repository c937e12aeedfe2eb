from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from deep_image_blending.errors import InputError
from deep_image_blending.pictures.cutting.evidence import Evidence
from deep_image_blending.pictures.cutting.guards import Guarded
from deep_image_blending.pictures.cutting.regions import pieces_of
from deep_image_blending.pictures.cutting.tightening import MODES, _before_restless, is_soft, tighten
from deep_image_blending.pictures.demo import demo_named
from tests.pictures.cutting.made import Composed, composed, disc, iou, loosened

MADE = composed(disc(100, 110, 28))
LOOSE = loosened(MADE.truth, 10)


def resembling() -> Composed:
    """An object of its background's own colours and grain."""
    made = composed(disc(100, 110, 28))
    return Composed(np.rint(made.back * 255).astype(np.uint8), made.truth, made.fore, made.back)


@pytest.mark.parametrize("mode", ["auto", "hard", "soft"])
def test_loose_mask_becomes_the_object(mode):
    pytest.importorskip("cv2")
    tight = tighten(MADE.picture, LOOSE, mode)
    assert iou(tight.mask, MADE.truth) > 0.97 > iou(LOOSE, MADE.truth)
    assert tight.way == tight.numbers["way"] == ("hard" if mode == "hard" else "soft")
    assert tight.confidence is not None
    assert tight.confidence > 0.7
    assert tight.said.startswith(f"{mode}: tightened")
    assert "\n" not in tight.said


def test_soft_alpha_is_nearer_the_truth_than_a_hard_contour():
    pytest.importorskip("cv2")
    made = composed(ndimage.gaussian_filter(disc(100, 110, 28), 1).astype(np.float32))
    loose = loosened(made.truth, 10)
    off = [np.abs(tighten(made.picture, loose, mode).mask - made.truth).sum() for mode in ("hard", "soft")]
    assert off[1] < 0.7 * off[0]


@pytest.mark.parametrize("mode", MODES)
def test_nothing_outside_the_mask_is_added_and_nothing_grows(mode):
    pytest.importorskip("cv2")
    tight = tighten(MADE.picture, LOOSE * np.float32(0.9), mode)
    assert (tight.mask <= LOOSE * np.float32(0.9)).all()
    assert tight.mask.dtype == np.float32


def test_same_input_gives_the_same_result():
    pytest.importorskip("cv2")
    one, two = (tighten(MADE.picture, LOOSE, "auto") for _ in range(2))
    np.testing.assert_array_equal(one.mask, two.mask)
    np.testing.assert_array_equal(one.foreground, two.foreground)
    assert (one.said, one.numbers) == (two.said, two.numbers)


def test_own_colours_replace_the_pictures_where_the_mask_is_grey_alone():
    pytest.importorskip("cv2")
    tight = tighten(MADE.picture, LOOSE, "soft")
    assert tight.foreground is not None
    grey = (tight.mask > 0) & (tight.mask < 1)
    np.testing.assert_array_equal(tight.foreground[~grey], MADE.picture[~grey])
    wanted = np.rint(MADE.fore * 255)
    clear = grey & (MADE.truth > 0.2)
    apart = [np.abs(colours - wanted)[clear].mean() for colours in (tight.foreground.astype(float), MADE.picture)]
    assert apart[0] < 0.6 * apart[1]


def test_sixteen_bits_stay_sixteen_bits():
    pytest.importorskip("cv2")
    tight = tighten(MADE.picture.astype(np.uint16) * 257, LOOSE, "soft")
    assert tight.foreground is not None
    assert tight.foreground.dtype == np.uint16
    np.testing.assert_allclose(tight.mask, tighten(MADE.picture, LOOSE, "soft").mask, atol=1e-4)


def test_auto_leaves_a_mask_that_fits():
    pytest.importorskip("cv2")
    mask = (MADE.truth > 0.5).astype(np.float32)
    tight = tighten(MADE.picture, mask, "auto")
    np.testing.assert_array_equal(tight.mask, mask)
    assert tight.said == "auto: the mask fits already; left as given"
    assert tight.way == "off"


def test_auto_leaves_an_object_that_resembles_its_surroundings():
    pytest.importorskip("cv2")
    made = resembling()
    tight = tighten(made.picture, LOOSE, "auto")
    np.testing.assert_array_equal(tight.mask, LOOSE)
    assert tight.said.endswith("left as given")


def test_auto_leaves_a_soft_mask_and_refines_it_when_asked():
    pytest.importorskip("cv2")
    soft = np.clip(ndimage.gaussian_filter(LOOSE, 4), 0, 1).astype(np.float32)
    assert is_soft(soft)
    assert not is_soft(MADE.truth)
    np.testing.assert_array_equal(tighten(MADE.picture, soft, "auto").mask, soft)
    assert iou(tighten(MADE.picture, soft, "soft").mask, MADE.truth) > 0.95


def test_auto_keeps_the_basket_that_a_lobe_was_drawn_around_and_its_ropes():
    pytest.importorskip("cv2")
    hung = np.zeros((150, 130), bool)
    hung[108:122, 58:72] = True
    hung[83:108, [59, 60, 69, 70]] = True
    truth = np.maximum(disc(150, 130, 28, 56, 65), hung)
    made = composed(truth)
    # Basket and ropes are hardly darker than what is behind them.
    dark = np.where(hung[..., None], (made.back * 255 - 5).astype(np.uint8), made.picture)
    mask = tighten(dark, loosened(truth, 6), "auto").mask > 0.5
    assert mask[hung].mean() > 0.97
    assert pieces_of(mask)[1] == 1
    assert not mask[56, [33, 97]].any(), "beside the envelope the contour is sure"


def test_every_component_stays():
    pytest.importorskip("cv2")
    truth = np.maximum(disc(100, 130, 25, 50, 40), disc(100, 130, 6, 25, 105))
    made = composed(truth)
    for mode in ("auto", "hard", "soft"):
        mask = tighten(made.picture, loosened(truth, 6), mode).mask
        assert mask[25, 105] == 1
        assert mask[50, 40] == 1


@pytest.mark.parametrize(
    ("thickness", "scale", "likelihood", "kept"),
    [(20, 20.0, 1.0, True), (5, 20.0, 1.0, False), (20, 6.0, 1.0, False), (20, 20.0, -1.0, False)],
    ids=["a part", "thin", "before a calm background", "of the background's colours"],
)
def test_parts_stay_before_a_restless_background(thickness, scale, likelihood, kept):
    inside, removed = np.zeros((80, 80), bool), np.zeros((80, 80), bool)
    inside[10:70, 10:40] = True
    removed[30 : 30 + thickness, 40:60] = True
    plane = np.full((80, 80), scale, np.float32)
    evidence = Evidence(np.zeros_like(plane), plane, plane, np.zeros((80, 80, 3), np.float32), plane)
    found = Guarded(inside, evidence, np.full((80, 80), likelihood, np.float32), 0, 0, 0, 0, 0, 0.0)
    np.testing.assert_array_equal(_before_restless(found, removed), removed if kept else np.zeros_like(removed))


@pytest.mark.parametrize("radius", [5, 15])
def test_auto_loses_neither_strut_nor_booster_of_the_bundled_shuttle(radius):
    pytest.importorskip("cv2")
    demo = demo_named("shuttle")
    picture, truth = np.asarray(Image.open(demo.source)), np.asarray(Image.open(demo.mask), np.float32) / 255
    loose = loosened(truth, radius)
    mask = tighten(picture, loose, "auto").mask
    assert iou(mask, truth) > iou(loose, truth)
    # The white booster before a pale wall, by rows and columns.
    assert mask[80:110, 44:52].mean() > 0.95
    if radius == 5:
        # The black strut, whose colour is the table's below, from where the mask's strip ends.
        assert mask[255:290, 78:82].mean() > 0.95


@pytest.mark.parametrize(("mask", "said"), [(np.zeros((8, 9)), "no contour"), (np.ones((8, 9)), "no contour")])
def test_mask_without_a_contour_is_left(mask, said):
    tight = tighten(np.zeros((8, 9, 3), np.uint8), mask.astype(np.float32), "auto")
    np.testing.assert_array_equal(tight.mask, mask)
    assert said in tight.said


def test_without_opencv_auto_leaves_the_mask_and_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    tight = tighten(MADE.picture, LOOSE, "auto")
    np.testing.assert_array_equal(tight.mask, LOOSE)
    assert "pip install opencv-python-headless" in tight.said
    with pytest.raises(InputError, match="pip install"):
        tighten(MADE.picture, LOOSE, "hard")
    assert tighten(MADE.picture, LOOSE, "off").way == "off"


def test_sizes_and_modes_are_checked():
    with pytest.raises(InputError, match="the mask is 110x100 but the picture is 10x8"):
        tighten(np.zeros((8, 10, 3), np.uint8), LOOSE, "auto")
    with pytest.raises(InputError, match="did you mean 'soft'"):
        tighten(MADE.picture, LOOSE, "sotf")
