from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from deep_image_blending.errors import InputError
from deep_image_blending.pictures.cutting import closed_form
from deep_image_blending.pictures.cutting.closed_form import closed_form_alpha, matting_system
from tests.pictures.cutting.made import composed, disc


def laplacian_by_loops(picture: np.ndarray, epsilon: float) -> np.ndarray:
    """Levin et al., eq. 12, term by term: (H W, H W)."""
    height, width, _ = picture.shape
    result = np.zeros((height * width, height * width))
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            places = [(row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
            colours = np.array([picture[place] for place in places], np.float64)
            mean = colours.mean(0)
            inverse = np.linalg.inv(np.cov(colours.T, bias=True) + epsilon / 9 * np.eye(3))
            for i, a in enumerate(places):
                for j, b in enumerate(places):
                    spread = (colours[i] - mean) @ inverse @ (colours[j] - mean)
                    index = a[0] * width + a[1], b[0] * width + b[1]
                    result[index] += (i == j) - (1 + spread) / 9
    return result


def test_system_is_the_laplacian_of_the_paper_row_by_row():
    random = np.random.default_rng(0)
    picture = random.uniform(0, 1, (9, 11, 3)).astype(np.float32)
    known = (random.uniform(0, 1, (9, 11)) > 0.5).astype(np.float32)
    unknown = np.zeros((9, 11), bool)
    unknown[0:6, 2:9] = random.uniform(0, 1, (6, 7)) > 0.3
    whole = laplacian_by_loops(picture, 1e-5)
    at = unknown.ravel()
    matrix, right = matting_system(picture, known, unknown, 1e-5)
    np.testing.assert_allclose(matrix.toarray(), whole[np.ix_(at, at)], atol=1e-8)
    np.testing.assert_allclose(right, -whole[np.ix_(at, ~at)] @ known.ravel()[~at], atol=1e-8)


def test_alpha_is_that_of_a_known_composition():
    truth = ndimage.gaussian_filter(disc(60, 70, 18), 2).astype(np.float32)
    made = composed(truth, grain=0.0)
    unknown = (truth > 0.01) & (truth < 0.99)
    known = (truth >= 0.99).astype(np.float32)
    alpha = closed_form_alpha(made.picture.astype(np.float32) / 255, known, unknown)
    assert np.abs(alpha - truth)[unknown].mean() < 0.02
    np.testing.assert_array_equal(alpha[~unknown], known[~unknown])


def test_both_solvers_agree(monkeypatch):
    truth = ndimage.gaussian_filter(disc(80, 80, 24), 1.5).astype(np.float32)
    made = composed(truth)
    unknown = np.abs(ndimage.gaussian_filter(truth, 4) - 0.5) < 0.45
    picture, known = made.picture.astype(np.float32) / 255, (truth > 0.5).astype(np.float32)
    direct = closed_form_alpha(picture, known, unknown)
    monkeypatch.setattr(closed_form, "_DIRECT", 0)
    assert np.abs(closed_form_alpha(picture, known, unknown) - direct).max() < 4e-3


def test_band_at_the_border_of_the_picture_is_solved():
    made = composed(disc(30, 30, 12, row=0, column=15))
    unknown = (made.truth > 0.02) & (made.truth < 0.98)
    unknown[0, 0] = True
    alpha = closed_form_alpha(
        made.picture.astype(np.float32) / 255, (made.truth > 0.5).astype(np.float32), unknown
    )
    assert np.abs(alpha - made.truth).max() < 0.25
    assert alpha[0, 0] < 0.05


def test_nothing_unknown_gives_what_is_known():
    known = disc(12, 12, 4)
    alpha = closed_form_alpha(np.zeros((12, 12, 3), np.float32), known, np.zeros((12, 12), bool))
    np.testing.assert_array_equal(alpha, known)


def test_picture_without_a_window_is_refused():
    with pytest.raises(InputError, match="3x3"):
        closed_form_alpha(np.zeros((2, 5, 3), np.float32), np.zeros((2, 5), np.float32), np.ones((2, 5), bool))
