"""Which scales a pass goes through, how many evaluations each gets, and how much of the canvas it sees."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from deep_image_blending.networks.backbones import load_backbone
from deep_image_blending.objectives import schedule
from deep_image_blending.objectives.taps import correcting, taps_of, wanted_taps
from deep_image_blending.options import presets
from deep_image_blending.pictures import load_picture
from deep_image_blending.pictures.scene import Scene

OPTIONS = presets.preset("natural").second


def _scene(rows: int, columns: int, canvas: tuple[int, int] | None = None) -> Scene:
    blank = np.broadcast_to(np.uint8(0), (*(canvas or (3 * rows, 3 * columns)), 3))
    source = np.broadcast_to(np.float32(0), (rows, columns, 3))
    mask = np.broadcast_to(np.float32(1), (rows, columns))
    height, width = blank.shape[:2]
    target = dataclasses.replace(load_picture(np.zeros((1, 1, 3), np.uint8)), pixels=blank, native=blank)
    return Scene(target, source, mask, (height - rows) // 2, (width - columns) // 2)


def _evaluations(scene: Scene, evaluations: int = 60, **changes: int) -> dict[int, tuple[int, bool]]:
    """By scale: how many evaluations, and whether it only corrects."""
    stages = schedule.resolutions(scene, dataclasses.replace(OPTIONS, **changes), evaluations)
    ends = [0, *(stage.until for stage in stages)]
    return {
        stage.scale: (after - before, stage.corrects)
        for stage, (before, after) in zip(stages, pairwise(ends), strict=True)
    }


def test_small_object_gets_half_of_its_evaluations_at_full_size() -> None:
    assert _evaluations(_scene(100, 100)) == {1: (60, False)}
    assert _evaluations(_scene(600, 600)) == {4: (15, False), 2: (15, False), 1: (30, False)}


def test_large_object_is_corrected_in_few_evaluations_where_it_is_large() -> None:
    found = _evaluations(_scene(1600, 1600))
    assert found == {8: (26, False), 4: (26, False), 2: (4, True), 1: (4, True)}
    # The scale that gets the most has 400 pixels a side: below 0.4 megapixels, and half of it again is not.
    assert 400 * 400 <= schedule.LARGE < 800 * 800


def test_cost_grows_slower_than_the_object() -> None:
    def cost(side: int) -> float:
        return sum(count * (side / scale) ** 2 for scale, (count, _) in _evaluations(_scene(side, side)).items())

    slope = np.log(cost(1732) / cost(316)) / np.log(1732**2 / 316**2)
    assert slope < 0.8


@pytest.mark.parametrize("evaluations", [1, 2, 3, 7, 60, 300])
@pytest.mark.parametrize("side", [50, 300, 700, 2600, 5000])
def test_every_evaluation_is_given_out_once(side: int, evaluations: int) -> None:
    found = _evaluations(_scene(side, side), evaluations)
    assert sum(count for count, _ in found.values()) == evaluations
    assert all(count > 0 for count, _ in found.values())


def test_one_level_makes_all_evaluations_at_full_size() -> None:
    assert _evaluations(_scene(1600, 1600), levels=1) == {1: (60, False)}


def test_as_much_is_seen_as_the_object_is_long_within_a_bound() -> None:
    assert schedule.seen_margin(_scene(200, 300), 48) == 300
    assert schedule.seen_margin(_scene(20, 30), 48) == 128
    # 4 megapixels: a square of 2000 pixels holds one of 1600 with 200 on each side.
    assert schedule.seen_margin(_scene(1600, 1600), 48) == 200
    assert schedule.seen_margin(_scene(5000, 5000), 48) == 128


def test_a_correcting_scale_looks_at_layers_no_coarser_than_the_contents() -> None:
    network = load_backbone("embedded", {"relu1_2", "relu2_2", "relu3_3"}).network
    assert taps_of(correcting(OPTIONS, network)) == (("relu1_2", "relu2_2"), "relu2_2")
    deepest = dataclasses.replace(OPTIONS, style_layers=("relu3_3",), content_layer="relu1_2")
    assert taps_of(correcting(deepest, network)) == (("relu3_3",), "relu1_2")


def test_where_the_gradient_loss_holds_the_object_pixels_alone_correct() -> None:
    first = presets.preset("natural").first
    network = load_backbone("embedded", {"relu1_2", "relu2_2", "relu3_3"}).network
    found = correcting(dataclasses.replace(first, weights=first.weights.changed(tv=0.5)), network)
    assert {name: weight for name, weight in found.weights.items() if weight} == {"gradient": 1.0, "tv": 0.5}
    assert wanted_taps(first)
    assert not wanted_taps(found)
    stages = schedule.resolutions(_scene(1600, 1600), first, 60)
    assert [stage.until for stage in stages] == [24, 48, 54, 60]
