from __future__ import annotations

import numpy as np
import pytest

from deep_image_blending.errors import InputError
from deep_image_blending.pictures.cutting.cut_out import Start, cut_out, hints_of
from deep_image_blending.pictures.cutting.doubts import doubtful_areas
from tests.pictures.cutting.made import composed, disc, iou, loosened

MADE = composed(disc(100, 110, 28))
BOX = (18, 22, 84, 88)


def strokes(white: tuple[slice, slice] | None = None, black: tuple[slice, slice] | None = None) -> np.ndarray:
    plane = np.full(MADE.truth.shape, 0.5, np.float32)
    if white:
        plane[white] = 1
    if black:
        plane[black] = 0
    return plane


MIDDLE, CORNER = (slice(45, 55), slice(50, 60)), (slice(2, 8), slice(2, 100))
AWAY = np.hypot(*(np.mgrid[:100, :110] - np.array([50, 55])[:, None, None]))
TRIMAP = np.where(np.abs(AWAY - 28) < 6, 0.5, MADE.truth)


@pytest.mark.parametrize(
    "start",
    [
        Start(box=BOX),
        Start(strokes=strokes(MIDDLE, CORNER)),
        Start(strokes=strokes(MIDDLE)),
        Start(loose=loosened(MADE.truth, 9)),
        Start(box=BOX, strokes=strokes(MIDDLE, (slice(20, 24), slice(24, 34)))),
        Start(trimap=TRIMAP.astype(np.float32)),
    ],
    ids=["box", "strokes", "white strokes", "mask", "box and strokes", "trimap"],
)
def test_object_is_cut_out_from_any_start(start):
    pytest.importorskip("cv2")
    cut = cut_out(MADE.picture, start)
    assert iou(cut.alpha, MADE.truth) > 0.96
    assert np.abs(cut.alpha - MADE.truth).mean() < 0.01
    assert "\n" not in cut.said
    again = cut_out(MADE.picture, start)
    np.testing.assert_array_equal(cut.alpha, again.alpha)


def test_nothing_outside_the_box_and_all_that_strokes_say():
    pytest.importorskip("cv2")
    start = Start(
        box=(18, 40, 84, 88), strokes=strokes((slice(20, 22), slice(45, 50)), (slice(48, 52), slice(60, 66)))
    )
    alpha = cut_out(MADE.picture, start).alpha
    assert not alpha[:, :40].any()
    assert (alpha[20:22, 45:50] == 1).all()
    assert not alpha[48:52, 60:66].any()


def test_hard_has_no_grey():
    pytest.importorskip("cv2")
    alpha = cut_out(MADE.picture, Start(box=BOX), soft=False).alpha
    assert set(np.unique(alpha)) == {0.0, 1.0}


def test_a_box_alone_says_how_to_go_on():
    pytest.importorskip("cv2")
    assert "--strokes" in cut_out(MADE.picture, Start(box=BOX)).said


def test_unsure_contour_is_named_by_a_box():
    pytest.importorskip("cv2")
    truth = disc(100, 110, 28)
    made = composed(truth)
    picture = made.picture.copy()
    # The object's lower half has nearly the colour of its background.
    picture[50:] = np.where(truth[50:, :, None] > 0.5, (made.back[50:] * 255 + 6).astype(np.uint8), picture[50:])
    cut = cut_out(picture, Start(loose=loosened(truth, 1), strokes=strokes((slice(40, 70), slice(45, 65)))))
    top, left, bottom, right = cut.unsure[0]
    assert 45 < top < bottom <= 82
    assert 20 < left < right <= 90
    assert f"unsure in {top},{left},{bottom},{right}" in cut.said


def test_box_finds_a_part_whose_colours_lie_outside_it_as_well():
    pytest.importorskip("cv2")
    truth = disc(200, 220, 60)
    picture = composed(truth).picture.copy()
    picture[90:120, 95:130] = (90, 200, 90)
    picture[24:36, 30:190] = (90, 200, 90)
    assert iou(cut_out(picture, Start(box=(36, 44, 164, 176))).alpha, truth) > 0.95


def _doubts(picture: np.ndarray, inside: np.ndarray, box: tuple[int, int, int, int], black=None) -> list:
    hints = hints_of(inside.shape, Start(box=box, strokes=black))
    decided = np.zeros(inside.shape, bool) if black is None else black < 0.5
    return doubtful_areas(picture, hints, inside, decided)


def test_parts_that_were_left_out_are_named_the_largest_first_until_a_stroke_answers():
    pytest.importorskip("cv2")
    truth = disc(200, 220, 60)
    picture, inside = composed(truth).picture, truth > 0.5
    large, small = (80, 95, 120, 140), (125, 90, 140, 115)
    for top, left, bottom, right in (small, large):
        inside[top:bottom, left:right] = False
    found = _doubts(picture, inside, (36, 44, 164, 176))
    np.testing.assert_allclose(found, [large, small], atol=3)
    black = np.full(truth.shape, 0.5, np.float32)
    black[98:102, 105:120] = 0
    np.testing.assert_allclose(_doubts(picture, inside, (36, 44, 164, 176), black), [small], atol=3)


def test_background_that_reaches_between_the_object_and_another_background_is_no_doubt():
    pytest.importorskip("cv2")
    truth = disc(200, 220, 40)
    picture = composed(truth).picture.copy()
    # A wood along the box's lower side; the sky above it is nearer to the wood than to the sky outside the box.
    picture[175:] = (30, 60, 25)
    found = _doubts(picture, truth > 0.5, (40, 50, 175, 170))
    # Pixels whose surroundings have some of the wood are foreign to both.
    assert all(top >= 175 - 6 for top, *_ in found)


def test_rgba_and_preview():
    pytest.importorskip("cv2")
    cut = cut_out(MADE.picture, Start(box=BOX))
    rgba, preview = cut.rgba(), cut.preview()
    assert rgba.shape == (100, 110, 4)
    assert (rgba[cut.alpha == 0] == 0).all()
    np.testing.assert_array_equal(rgba[50, 55], [*MADE.picture[50, 55], 255])
    assert preview.shape == (100, 220, 3)
    np.testing.assert_array_equal(preview[0, 0], [128, 128, 128])
    np.testing.assert_array_equal(preview[0, 219], [255, 0, 255])


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (Start(), "nothing says where the object is"),
        (Start(strokes=np.ones((9, 8), np.float32), names={"strokes": "s.png"}), "strokes 's.png' is 8x9 but"),
        (Start(loose=np.ones((9, 8), np.float32), names={"loose": "m.png"}), "mask 'm.png' is 8x9 but"),
        (Start(box=(10, 10, 101, 60)), "reaches outside the picture of 110x100"),
        (Start(box=(-1, 10, 50, 60)), "reaches outside"),
        (Start(box=(50, 10, 50, 60)), "is empty"),
        (Start(box=(0, 0, 100, 110)), "is the whole picture"),
        (Start(strokes=strokes()), "marks nothing"),
        (Start(loose=np.zeros((100, 110), np.float32)), "marks nothing"),
        (Start(box=BOX, strokes=strokes((slice(2, 5), slice(2, 5)))), "contradicts the box"),
        (Start(loose=MADE.truth, strokes=strokes((slice(2, 5), slice(2, 5)))), "contradicts the mask"),
        (Start(box=BOX, strokes=np.zeros((100, 110), np.float32)), "black covers all"),
        (Start(strokes=np.ones((100, 110), np.float32)), "the whole picture"),
        (Start(trimap=(MADE.truth > 0.5).astype(np.float32)), "has no unknown pixels"),
        (Start(trimap=np.full((100, 110), 0.5, np.float32)), "has no white"),
        (Start(trimap=np.maximum(TRIMAP, 0.5).astype(np.float32)), "has no black"),
        (Start(trimap=TRIMAP.astype(np.float32), box=BOX), "leave box, strokes and mask out"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(start, says):
    with pytest.raises(InputError) as caught:
        cut_out(MADE.picture, start)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
