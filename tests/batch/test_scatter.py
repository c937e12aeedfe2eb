"""A seed gives one manifest; what it says stays within what was asked for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from deep_image_blending.batch.altering import altered
from deep_image_blending.batch.blending import blend_row
from deep_image_blending.batch.columns import Alteration
from deep_image_blending.batch.draws import Draws
from deep_image_blending.batch.manifest import check
from deep_image_blending.batch.objects import backgrounds_in, objects_in
from deep_image_blending.batch.scatter import Chance, Stock, rows
from deep_image_blending.cli.app import run_command
from deep_image_blending.errors import InputError
from deep_image_blending.pictures import load_mask, load_picture
from deep_image_blending.pictures.turning import turned_size
from deep_image_blending.runs.inputs import Inputs
from tests.batch.made import stock_folders
from tests.conftest import disc_mask, smooth_picture


def _stock(tmp_path: Path) -> Stock:
    objects, backgrounds = stock_folders(tmp_path)
    return Stock(objects_in(objects), backgrounds_in(backgrounds), tmp_path)


def test_the_numbers_are_those_of_every_machine() -> None:
    draws = Draws(1, 2)
    assert [draws.below(1000) for _ in range(5)] == [309, 356, 36, 961, 18]
    assert {Draws(0, i).between(2, 4) for i in range(64)} == {2, 3, 4}


def test_a_seed_gives_one_manifest(tmp_path: Path) -> None:
    stock = _stock(tmp_path)
    chance = Chance(rotate=(-90, 90), over_border=200, methods=("paste", "natural"))
    made = [json.dumps(row, sort_keys=True) for row in rows(stock, chance, 50, 7)]
    assert made == [json.dumps(row, sort_keys=True) for row in rows(stock, chance, 50, 7)]
    assert made[:20] == [json.dumps(row, sort_keys=True) for row in rows(stock, chance, 10, 7)]
    assert made != [json.dumps(row, sort_keys=True) for row in rows(stock, chance, 50, 8)]
    # Of any machine: nothing of it hangs on floating point, on listings or on paths.
    digest = hashlib.sha256("\n".join(made).encode()).hexdigest()
    assert digest == DIGEST


DIGEST = "2111a47f80a4d000e39faabd4e06b6d2a3fce93d24d2a1ffef38f5e5dec28775"


def test_methods_share_their_scene(tmp_path: Path) -> None:
    found = list(rows(_stock(tmp_path), Chance(methods=("paste", "feather")), 5, 0))
    for one, other in zip(found[::2], found[1::2], strict=True):
        assert (one.pop("method"), other.pop("method")) == ("paste", "feather")
        assert one == other


def test_objects_are_found_with_alpha_and_with_masks(tmp_path: Path) -> None:
    objects, backgrounds = stock_folders(tmp_path)
    found = objects_in(objects)
    assert [(one.category, one.picture.name) for one in found] == [
        ("cup", "alpha.png"),
        ("star", "one.png"),
        ("star", "two.png"),
    ]
    assert [one.mask and one.mask.name for one in found] == [None, "one.mask.png", "two_mask.png"]
    assert {one.size for one in found} == {(20, 30)}
    assert [one.size for one in backgrounds_in(backgrounds)] == [(60, 80), (70, 60)]
    (objects / "star" / "one.mask.png").unlink()
    with pytest.raises(InputError, match=r"one\.mask\.png"):
        objects_in(objects)


def test_objects_lie_where_the_generator_meant_them(tmp_path: Path) -> None:
    objects, backgrounds = stock_folders(tmp_path)
    path = tmp_path / "m.jsonl"
    arguments = ["scatter", "--objects", str(objects), "--backgrounds", str(backgrounds), "--count", "8"]
    arguments += ["--rotate", "180", "--methods", "paste", "--overlap", "0", "--scale", "0.3,0.4", "--seed", "3"]
    assert run_command([*arguments, "--output-file", str(path), "--quiet"]) == 0
    for row in check(str(path), pytest.fail).read():
        made = blend_row(row, measured=False)
        boxes = [one.box for one in made.objects]
        assert all(box is not None for box in boxes)
        shorter = min(made.pixels.shape[:2])
        for one, box in zip(made.objects, boxes, strict=True):
            assert box is not None
            # The mask's own box, once turned, is at most that of its turned box.
            assert max(box[2] - box[0], box[3] - box[1]) <= 0.4 * shorter + 3
            assert one.mask.sum() > 0
            assert not one.hidden


def test_the_preview_shows_pastes(tmp_path: Path) -> None:
    objects, backgrounds = stock_folders(tmp_path)
    sheet = tmp_path / "sheet.png"
    arguments = ["scatter", "--objects", str(objects), "--backgrounds", str(backgrounds), "--count", "3"]
    arguments += ["--output-file", str(tmp_path / "m.jsonl"), "--preview-file", str(sheet), "--quiet"]
    assert run_command(arguments) == 0
    assert load_picture(sheet).pixels.shape[1] > 900


def test_an_object_is_lit_otherwise() -> None:
    picture, mask = smooth_picture(1, 12, 20), disc_mask(12, 20)
    given = Inputs(load_picture(picture), load_mask(mask), load_picture(picture))
    darker = altered(given, Alteration(brightness=0.5))
    np.testing.assert_array_equal(darker.source.pixels, np.rint(picture * np.float32(0.5)))
    assert altered(given, Alteration()) is given


def test_scatter_knows_where_a_turned_object_lies() -> None:
    assert turned_size((12, 20), 90) == (20, 12)
