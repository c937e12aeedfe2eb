"""Contact sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deep_image_blending.errors import InputError
from deep_image_blending.pictures import write_picture
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.views import contact_sheet as contact_sheet_module
from deep_image_blending.views.contact_sheet import (
    GAP,
    PAPER,
    comparison,
    contact_sheet,
    fitted,
    object_crop,
    run_pictures,
    with_margin,
)


def flat(colour: tuple[int, int, int], height: int = 6, width: int = 8) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255), (0, 128, 255)]


def boxes(sheet: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Where each colour lies: (top, left, bottom, right)."""
    found = []
    for colour in COLOURS:
        rows, columns = np.nonzero((sheet == colour).all(-1))
        if rows.size:
            found.append((rows.min(), columns.min(), rows.max() + 1, columns.max() + 1))
    return found


def test_each_picture_is_shown_whole_and_at_one_size() -> None:
    sheet = contact_sheet([(c, flat(colour)) for c, colour in zip("abcde", COLOURS, strict=True)], cell=64)
    assert [(bottom - top, right - left) for top, left, bottom, right in boxes(sheet)] == [(48, 64)] * 5


def test_five_pictures_take_three_columns() -> None:
    sheet = contact_sheet([(c, flat(colour)) for c, colour in zip("abcde", COLOURS, strict=True)], cell=64)
    assert sheet.shape[1] == 3 * 64 + 4 * GAP
    assert [left for _, left, _, _ in boxes(sheet)] == [GAP, 2 * GAP + 64, 3 * GAP + 128, GAP, 2 * GAP + 64]
    assert boxes(sheet)[3][0] > boxes(sheet)[0][2]


def test_columns_can_be_given() -> None:
    pictures = [(c, flat(colour)) for c, colour in zip("abc", COLOURS, strict=False)]
    assert contact_sheet(pictures, cell=64, columns=1).shape[1] == 64 + 2 * GAP


def test_label_stands_above_its_picture_and_nowhere_else() -> None:
    with_label = contact_sheet([("first", flat(COLOURS[0])), ("", flat(COLOURS[1]))], cell=64)
    top = boxes(with_label)[0][0]
    ink = (with_label[:top] != PAPER).any(-1)
    assert ink[:, GAP : GAP + 64].any()
    assert not ink[:, GAP + 64 :].any()


def test_long_label_is_broken_rather_than_cut() -> None:
    short = contact_sheet([("a", flat(COLOURS[0]))], cell=64)
    long = contact_sheet([("a label of many words that runs on", flat(COLOURS[0]))], cell=64)
    assert long.shape[1] == short.shape[1]
    assert long.shape[0] > short.shape[0]


def test_crop_shows_those_pixels_alone() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[2:4, 4:8] = COLOURS[0]
    sheet = contact_sheet([("", picture)], crop=(2, 4, 4, 8), cell=64)
    ((top, left, bottom, right),) = boxes(sheet)
    assert (bottom - top, right - left) == (32, 64)
    assert not (sheet == 0).all(-1).any()


def test_crop_off_a_picture_is_an_error_that_names_it() -> None:
    with pytest.raises(InputError, match="'small' is 8x6"):
        contact_sheet([("small", flat(COLOURS[0]))], crop=(10, 10, 20, 20))


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(InputError, match="nothing to compare"):
        contact_sheet([])


def test_deep_pictures_are_shown_in_eight_bits() -> None:
    deep = np.full((4, 4, 3), COLOURS[0], np.uint16) * 257
    assert boxes(contact_sheet([("", deep)], cell=64))


def test_enlarging_by_a_whole_factor_keeps_pixels() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    assert (fitted(picture, 15)[1::3, 1::3] == picture).all()


def test_margin_is_a_share_of_the_longer_side_and_stays_on_the_canvas() -> None:
    assert with_margin((50, 60, 90, 160), (200, 170), 0.25) == (25, 35, 115, 170)


def test_pictures_and_crop_of_a_run(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "run") as run:
        run.update(placement={"region": [50, 60, 90, 160], "canvas": [200, 170]})
        with pytest.raises(InputError, match="no pictures yet"):
            run_pictures(run)
        write_picture(run.path / "composite.png", flat(COLOURS[0], 200, 170))
        write_picture(run.path / "second_pass.png", flat(COLOURS[1], 200, 170))
        found = run_pictures(run)
        assert [name for name, _ in found] == ["paste", "second pass"]
        assert (found[1][1] == COLOURS[1]).all()
        assert object_crop(run) == (25, 35, 115, 170)


@pytest.mark.parametrize(("saved", "columns"), [(1, 1), (2, 2)])
def test_each_of_several_runs_has_a_row_of_its_own(
    saved: int, columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    drawn = contact_sheet_module.contact_sheet

    def noting(pictures: list[tuple[str, np.ndarray]], **options: object) -> np.ndarray:
        shown.extend(label for label, _ in pictures)
        return drawn(pictures, cell=64, **options)

    monkeypatch.setattr(contact_sheet_module, "contact_sheet", noting)
    runs = []
    for name in ("old/cat", "new/cat", "dog"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with RunDirectory.create(tmp_path / name) as run:
            for file in ("composite.png", "second_pass.png")[:saved]:
                write_picture(run.path / file, flat(COLOURS[0]))
            runs.append(run)
    assert comparison(runs).shape[1] == columns * (64 + GAP) + GAP
    assert shown[::saved] == ["old/cat: paste", "new/cat: paste", "dog: paste"]
    shown.clear()
    comparison(runs[:1])
    assert shown[0] == "paste"
