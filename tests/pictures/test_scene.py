"""Placing source, mask and target on one canvas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deep_image_blending.errors import InputError
from deep_image_blending.pictures import Picture, compose_scene, load_picture, looks_inverted
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.turning import turned_size
from tests.conftest import disc_mask, smooth_picture


def _picture(seed: int, height: int, width: int) -> Picture:
    return load_picture(smooth_picture(seed, height, width))


def _mask(height: int, width: int) -> np.ndarray:
    return disc_mask(height, width).astype(np.float32) / 255


def test_corner_is_the_centre_minus_half_the_size() -> None:
    scene = compose_scene(_picture(1, 20, 30), _mask(20, 30), _picture(2, 100, 120), Placement(x=40, y=70))
    assert (scene.top, scene.left) == (40 - 10, 70 - 15)


def test_default_place_is_the_middle() -> None:
    scene = compose_scene(_picture(1, 20, 30), _mask(20, 30), _picture(2, 100, 120), Placement())
    assert (scene.top, scene.left) == (40, 45)


def test_longer_sides_are_rescaled_and_shapes_kept() -> None:
    scene = compose_scene(_picture(1, 20, 40), _mask(20, 40), _picture(2, 100, 50), Placement(ss=20, ts=60))
    assert scene.source.shape == (10, 20, 3)
    assert scene.canvas == (60, 30)


def test_square_placement_is_pillows_resampling_and_a_hard_mask() -> None:
    source, mask = smooth_picture(1, 40, 52), disc_mask(40, 52)
    placement = Placement(ss=24, ts=64, square=True)
    scene = compose_scene(load_picture(source), mask.astype(np.float32) / 255, _picture(2, 90, 70), placement)
    resized = np.asarray(Image.fromarray(source).resize((24, 24)), np.float32)
    hard = np.asarray(Image.fromarray(mask).resize((24, 24))) > 0
    np.testing.assert_array_equal(scene.source, resized)
    np.testing.assert_array_equal(scene.mask > 0, hard)
    assert set(np.unique(scene.mask)) == {0.0, 1.0}
    assert scene.canvas == (64, 64)


def test_part_off_the_canvas_is_cut() -> None:
    scene = compose_scene(
        _picture(1, 20, 20), np.ones((20, 20), np.float32), _picture(2, 50, 60), Placement(x=0, y=60)
    )
    assert scene.region() == (0, 50, 10, 60)
    pasted, changed = scene.paste()
    assert changed.sum() == 100
    np.testing.assert_array_equal(pasted[:10, 50:], scene.source[10:, :10])


def test_window_holds_what_lies_on_the_canvas() -> None:
    scene = compose_scene(_picture(1, 20, 30), _mask(20, 30), _picture(2, 100, 120), Placement(x=40, y=70))
    window, canvas = scene.window(8, 16), scene.window(None)
    rows = slice(window.top, window.top + window.mask.shape[0])
    columns = slice(window.left, window.left + window.mask.shape[1])
    assert window.top % 16 == window.left % 16 == 0
    np.testing.assert_array_equal(window.mask, canvas.mask[rows, columns])
    np.testing.assert_array_equal(window.source, canvas.source[rows, columns])
    np.testing.assert_array_equal(canvas.mask[30:50, 55:85], scene.mask)
    assert canvas.mask.sum() == window.mask.sum() == scene.mask.sum()
    # Beyond its frame the source goes on with its edge.
    np.testing.assert_array_equal(canvas.source[0, 60], scene.source[0, 5])


def test_coarser_window_is_the_mean_of_blocks() -> None:
    scene = compose_scene(_picture(1, 20, 30), _mask(20, 30), _picture(2, 100, 121), Placement())
    fine = scene.window(None)
    coarse = fine.coarser(2)
    assert coarse.mask.shape == (50, 60)
    assert coarse.target[3, 4, 1] == pytest.approx(fine.target[6:8, 8:10, 1].mean())
    assert coarse.mask[20, 30] == pytest.approx(fine.mask[40:42, 60:62].mean())


def test_growing_and_feathering() -> None:
    mask = np.zeros((21, 21), np.float32)
    mask[8:13, 8:13] = 1
    place = {"x": 20, "y": 20}
    grown = compose_scene(_picture(1, 21, 21), mask, _picture(2, 40, 40), Placement(grow=2, **place)).mask
    shrunk = compose_scene(_picture(1, 21, 21), mask, _picture(2, 40, 40), Placement(grow=-1, **place)).mask
    soft = compose_scene(_picture(1, 21, 21), mask, _picture(2, 40, 40), Placement(feather=3, **place)).mask
    assert grown[6, 10] == 1
    assert grown[5, 10] == 0
    assert shrunk.sum() == 9
    np.testing.assert_array_equal(soft > 0, mask > 0)
    assert soft[8, 10] == pytest.approx(0.25)
    assert soft[10, 10] == pytest.approx(0.75)


def test_inverted_looking_mask_is_noticed() -> None:
    assert looks_inverted(1 - _mask(20, 20))
    assert not looks_inverted(_mask(20, 20))


@pytest.mark.parametrize(
    ("mask", "placement", "message"),
    [
        (None, Placement(), "needs a mask"),
        (np.zeros((20, 30), np.float32), Placement(), "is empty"),
        (np.ones((10, 30), np.float32), Placement(), "give them the same size, or pass --fit-mask"),
        (np.ones((20, 30), np.float32), Placement(x=500, y=20), "wholly off the canvas"),
        (_mask(20, 30), Placement(grow=-40), "empty after"),
    ],
)
def test_bad_placement_says_what_would_be_right(mask, placement, message) -> None:
    with pytest.raises(InputError, match=message):
        compose_scene(_picture(1, 20, 30), mask, _picture(2, 100, 120), placement)


def test_alpha_is_the_mask_where_none_is_given(tmp_path: Path) -> None:
    rgba = np.dstack((smooth_picture(1, 20, 30), disc_mask(20, 30)))
    Image.fromarray(rgba).save(tmp_path / "cut.png")
    scene = compose_scene(load_picture(tmp_path / "cut.png"), None, _picture(2, 100, 120), Placement())
    np.testing.assert_allclose(scene.mask, _mask(20, 30), atol=1e-6)


def _agreeing(source: np.ndarray, target: np.ndarray) -> float:
    mask = np.zeros(source.shape[:2], np.float32)
    mask[12:28, 12:28] = 1
    return compose_scene(load_picture(source), mask, load_picture(target), Placement()).agreement()


def test_agreement_is_the_share_of_the_surroundings_that_the_source_explains() -> None:
    random = np.random.default_rng(1)
    source = random.integers(60, 190, (40, 40, 3)).astype(np.uint8)
    lit = np.rint(source * 1.2 - 10).astype(np.uint8)
    assert _agreeing(source, lit) == pytest.approx(1, abs=1e-3)
    # Half of the variance is the source's, half is not.
    noise = random.integers(60, 190, (40, 40, 3)).astype(np.float64)
    half = np.rint((source + noise) / 2).astype(np.uint8)
    assert _agreeing(source, half) == pytest.approx(0.5, abs=0.05)
    assert _agreeing(source, random.integers(0, 256, (40, 40, 3)).astype(np.uint8)) < 0.05
    assert _agreeing(source, 255 - source) == pytest.approx(0, abs=0.01)


def test_agreement_of_an_object_without_surroundings_is_none() -> None:
    source = np.random.default_rng(2).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    scene = compose_scene(load_picture(source), np.ones((20, 20), np.float32), load_picture(source), Placement())
    assert scene.agreement() == 0


def test_an_object_is_mirrored_then_turned_before_it_is_placed() -> None:
    """A quarter turn against the clock is NumPy's rot90, pixel by pixel, of the mirrored picture."""
    source, target = _picture(0, 12, 20), _picture(1, 40, 40)
    mask = np.random.default_rng(0).random((12, 20)).astype(np.float32)
    scene = compose_scene(source, mask, target, Placement(rotate=90, flip=True))
    assert np.array_equal(scene.source, np.rot90(source.pixels[:, ::-1]).astype(np.float32))
    assert np.allclose(scene.mask, np.rot90(mask[:, ::-1]), atol=1e-6)
    tilted = compose_scene(source, mask, target, Placement(rotate=30))
    assert tilted.source.shape[:2] == turned_size((12, 20), 30)
    assert abs(float(tilted.mask.sum()) - float(mask.sum())) < 0.06 * float(mask.sum())
