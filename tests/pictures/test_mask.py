"""The mask's edge: what a disc reaches, and how quickly it is found."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import ndimage

from deep_image_blending.pictures.mask import with_edge
from tests.conftest import disc_mask


def _masks() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    hard = random.random((31, 44)) < 0.02
    return {
        "specks": hard.astype(np.float32),
        "disc": disc_mask(31, 44).astype(np.float32) / 255,
        "faint": hard * np.float32(0.25),
        "soft": ndimage.gaussian_filter(random.random((31, 44)), 2).astype(np.float32),
        "soft specks": (hard * random.random((31, 44))).astype(np.float32),
        "half": np.tile(np.arange(44) < 20, (31, 1)).astype(np.float32),
        "row": np.ones((1, 30), np.float32) * (np.arange(30) % 9 == 0),
        "white": np.ones((8, 9), np.float32),
        "black": np.zeros((8, 9), np.float32),
    }


def _by_disc(mask: np.ndarray, grow: int) -> np.ndarray:
    """Every pixel of a disc around every pixel, one by one; what lies off the picture says nothing."""
    radius, nothing = abs(grow), -np.inf if grow > 0 else np.inf
    padded = np.pad(mask, radius, constant_values=nothing)
    result = mask.copy()
    for down, across in np.ndindex(2 * radius + 1, 2 * radius + 1):
        if (down - radius) ** 2 + (across - radius) ** 2 <= radius * radius:
            part = padded[down : down + mask.shape[0], across : across + mask.shape[1]]
            result = np.maximum(result, part) if grow > 0 else np.minimum(result, part)
    return result


@pytest.mark.parametrize("mask", _masks().values(), ids=_masks().keys())
@pytest.mark.parametrize("grow", [0, 1, 2, 3, 5, 8, 13, 35, -1, -2, -3, -5, -8, -35])
def test_growing_is_dilation_and_shrinking_erosion_by_a_disc(mask: np.ndarray, grow: int) -> None:
    found = with_edge(mask, grow, 0)
    np.testing.assert_array_equal(found, _by_disc(mask, grow))
    assert found.dtype == np.float32


@pytest.mark.parametrize("grow", [200, -200])
def test_the_cost_of_growing_does_not_go_with_the_radius(grow: int) -> None:
    mask = np.zeros((900, 900), np.float32)
    mask[100:800, 200:700] = 1
    begun = time.perf_counter()
    with_edge(mask, grow, 0)
    # A disc of 126 thousand pixels around each of 810 thousand takes minutes.
    assert time.perf_counter() - begun < 5
