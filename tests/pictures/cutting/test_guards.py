from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deep_image_blending.pictures.cutting.grabcut import Segmentation
from deep_image_blending.pictures.cutting.guards import guarded
from tests.pictures.cutting.made import Composed, composed, disc, loosened

pytest.importorskip("cv2")


def guard(made: Composed, loose: np.ndarray, inside: np.ndarray, evidence: float = -5.0) -> np.ndarray:
    likelihood = np.full(loose.shape, evidence, np.float32)
    return guarded(made.picture, loose > 0.5, Segmentation(inside, likelihood)).inside


def test_thin_bar_that_segmentation_took_off_is_given_back():
    truth = disc(90, 90, 20)
    truth[10:40, 44:47] = 1
    made = composed(truth)
    loose = loosened(truth, 8)
    whole = guard(made, loose, disc(90, 90, 20) > 0.5)
    assert whole[12:30, 45].all()
    assert not whole[12:22, 38].any()


def test_background_that_was_taken_off_stays_off():
    made = composed(disc(80, 80, 20))
    inside = made.truth > 0.5
    whole = guard(made, loosened(made.truth, 10), inside)
    assert (whole & ~inside).sum() < 0.02 * inside.sum()


def test_hole_of_the_objects_own_colour_is_closed():
    made = composed(disc(80, 80, 26))
    torn = (made.truth > 0.5) & ~(disc(80, 80, 8) > 0.5)
    assert guard(made, loosened(made.truth, 6), torn)[40, 40]


def test_hole_opens_where_colour_position_and_size_speak_for_background():
    truth = disc(100, 100, 30) - disc(100, 100, 14)
    made = composed(truth)
    loose = loosened(disc(100, 100, 30), 6)
    assert not guard(made, loose, truth > 0.5)[50, 50]
    assert guard(made, loose, truth > 0.5, evidence=5.0)[50, 50], "the mixtures say object"
    pin = (disc(100, 100, 30) > 0.5) & ~(disc(100, 100, 1.5) > 0.5)
    assert guard(made, loose, pin)[50, 50], "too small"


def test_hole_far_inside_a_large_object_stays_closed():
    truth = disc(260, 260, 110) - disc(260, 260, 12)
    made = composed(truth)
    loose = loosened(disc(260, 260, 110), 5)
    assert guard(made, loose, truth > 0.5)[130, 130]


def test_lost_component_is_cut_out_again_by_its_own_colours():
    truth = np.maximum(disc(90, 120, 22, 45, 40), disc(90, 120, 6, 20, 100))
    made = composed(truth)
    loose = loosened(truth, 5)
    whole = guard(made, loose, disc(90, 120, 22, 45, 40) > 0.5)
    small = truth[:, 85:] > 0.5
    assert (whole[:, 85:] & small).sum() > 0.9 * small.sum()
    assert (whole[:, 85:] & ~small).sum() < 0.5 * small.sum()


def test_component_that_is_nothing_but_background_goes():
    truth = disc(90, 120, 20, 45, 40)
    made = composed(truth)
    loose = np.maximum(loosened(truth, 5), disc(90, 120, 9, 25, 100))
    checked = guarded(made.picture, loose > 0.5, Segmentation(truth > 0.5, np.zeros(loose.shape, np.float32)))
    assert checked.dropped == 1
    assert not checked.inside[:, 85:].any()


def test_what_given_back_parts_enclose_is_no_way_in():
    truth = disc(80, 80, 26)
    made = composed(truth)
    pocket, channel = disc(80, 80, 6) > 0.5, np.zeros((80, 80), bool)
    channel[36:44, :40] = True
    # The pocket has the background's colours: only the way to it shows that it was torn.
    picture = np.where(pocket[..., None], np.rint(made.back * 255), made.picture).astype(np.uint8)
    torn = Composed(picture, truth, made.fore, made.back)
    assert guard(torn, loosened(truth, 6), (truth > 0.5) & ~pocket & ~channel)[40, 40]


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 9))
def test_nothing_outside_the_mask_and_all_that_segmentation_kept(seed: int, radius: int):
    random = np.random.default_rng(seed)
    truth = disc(50, 60, random.uniform(6, 16), random.uniform(10, 40), random.uniform(10, 50))
    made = composed(truth)
    loose = loosened(truth, radius)
    inside = (loose > 0.5) & (random.uniform(0, 1, loose.shape) > 0.3)
    whole = guard(made, loose, inside)
    assert not (whole & (loose < 0.5)).any()
    assert (whole | ~inside).all()
