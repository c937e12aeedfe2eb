"""Passes: levels, resumption at every level, failure with the last good picture, smoothing, multigrid starts."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from scipy.ndimage import binary_erosion, gaussian_filter
from torch import Tensor

from deep_image_blending import passes
from deep_image_blending.networks.backbones import Backbone, load_backbone
from deep_image_blending.objectives import schedule
from deep_image_blending.objectives.natural import NormalisedObjective
from deep_image_blending.options.pass_options import Weights
from deep_image_blending.options.presets import preset
from deep_image_blending.options.run_options import Options
from deep_image_blending.passes import start
from deep_image_blending.pictures import as_float, load_picture
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.scene import Scene, compose_scene
from deep_image_blending.solve.lbfgs import LBFGS
from deep_image_blending.solve.loop import Evaluation, LoopState
from tests.conftest import disc_mask, smooth_picture


def _scene() -> Scene:
    mask = disc_mask(60, 64).astype(np.float32) / 255
    return compose_scene(
        load_picture(smooth_picture(1, 60, 64)), mask, load_picture(smooth_picture(2, 110, 131)), Placement()
    )


def _options(**changes: Any) -> Options:
    options = preset("natural")
    for name in ("first_pass", "second_pass"):
        own = dataclasses.replace(
            options.of(name), **{"backbone": "random", "num_steps": 12, "levels": 2, **changes}
        )
        options = options.with_pass(name, own)
    return options


def _backbone(options: Options) -> Backbone:
    return load_backbone("random", passes.wanted_taps(options.first))


def test_levels_go_from_coarse_to_fine_and_share_the_evaluations() -> None:
    options = _options(num_steps=20, levels=3)
    found = passes.pass_levels("first_pass", _scene(), options.first, _backbone(options).network)
    assert [level.window.scale for level in found] == [4, 2, 1]
    assert [level.until for level in found] == [5, 10, 20]


def test_objective_falls_and_the_start_is_not_worse_than_a_paste() -> None:
    options, scene = _options(num_steps=30), _scene()
    records: list[Evaluation] = []
    result = passes.first_pass(scene, options, _backbone(options), conduct=passes.Conduct((records.append,)))
    fine = [record.total for record in records if record.scale == 1]
    assert fine[-1] < fine[0]
    assert {record.scale for record in records} == {1, 2}
    pasted = dataclasses.replace(options, init="paste")
    begun: list[Evaluation] = []
    passes.first_pass(scene, pasted, _backbone(options), conduct=passes.Conduct((begun.append,)))
    assert records[0].total <= begun[0].total * 1.01
    assert result.changed.sum() == (scene.mask > 0).sum()


@pytest.mark.parametrize("stop", [3, 6, 7, 11])
@pytest.mark.parametrize(("name", "grain"), [("first_pass", 0), ("second_pass", 0), ("second_pass", 0.7)])
def test_a_pass_resumed_at_any_evaluation_ends_in_the_same_bits(name: str, grain: float, stop: int) -> None:
    options, scene = _options(grain=grain), _scene()
    backbone = _backbone(options)
    saved: list[tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]] = []

    def keep(record: Evaluation) -> None:
        if record.index == stop:
            tensors, numbers = record.state.solver.state_dict()
            loop = {key: getattr(record.state, key) for key in ("level", "evaluation", "seconds", "restarted")}
            copies = {key: tensor.clone() for key, tensor in tensors.items()}
            saved.append((copies, dict(numbers), {**loop, "recent": list(record.state.recent)}))

    def run(resume: LoopState | None = None) -> np.ndarray:
        if name == "first_pass":
            return passes.first_pass(
                scene, options, backbone, conduct=passes.Conduct((keep,), resume=resume)
            ).picture
        first = np.asarray(scene.target.pixels, np.float32) * 0.9
        return passes.second_pass(
            scene, options, backbone, first, conduct=passes.Conduct((keep,), resume=resume)
        ).picture

    whole = run()
    tensors, numbers, loop = saved[0]
    again = run(LoopState(LBFGS.from_state_dict(tensors, numbers), **loop))
    np.testing.assert_array_equal(whole, again)


@pytest.mark.parametrize("after", [2, 9])
def test_a_loss_that_turns_not_finite_saves_the_last_good_picture(after: int, monkeypatch) -> None:
    options, scene = _options(), _scene()
    plain, calls = NormalisedObjective.terms, []

    def broken(self: NormalisedObjective, x: Tensor) -> dict[str, Tensor]:
        calls.append(1)
        found = plain(self, x)
        return {key: value * float("nan") for key, value in found.items()} if len(calls) > after else found

    monkeypatch.setattr(NormalisedObjective, "terms", broken)
    # A line search steps back for ever shorter steps; the fixed step restarts once, then gives up.
    fixed = options.with_pass("first_pass", dataclasses.replace(options.first, line_search="fixed"))
    with pytest.raises(passes.PassFailed, match="not finite") as raised:
        passes.first_pass(scene, fixed, _backbone(options))
    picture = raised.value.result.picture
    assert np.isfinite(picture).all()
    changed = raised.value.result.changed
    np.testing.assert_array_equal(picture[~changed], np.asarray(scene.target.pixels, np.float32)[~changed])
    assert np.abs(picture - scene.target.pixels)[changed].mean() > 1


def test_edge_stopping_membrane_keeps_the_objects_colour_and_meets_the_target() -> None:
    # A red disc on grey, drawn with a wide mask, put on blue.
    source = np.full((80, 80, 3), 120, np.uint8)
    y, x = np.mgrid[:80, :80] - 39.5
    disc = np.hypot(y, x) < 20
    source[disc] = (200, 40, 40)
    target = np.full((120, 120, 3), (40, 60, 160), np.uint8)
    mask = (np.hypot(y, x) < 32).astype(np.float32)
    window = compose_scene(load_picture(source), mask, load_picture(target), Placement()).window(8)
    own = start.harmonised(window, "edges")
    rows, columns = np.mgrid[: own.shape[0], : own.shape[1]]
    centre = np.hypot(rows - own.shape[0] / 2 + 0.5, columns - own.shape[1] / 2 + 0.5)
    assert np.abs(own[centre < 17] - (200, 40, 40)).max() < 12
    assert np.abs(own[(centre > 25) & (centre < 32)] - (40, 60, 160)).max() < 12
    cloned = passes.poisson_start(window)
    assert np.abs(cloned[centre < 17] - (200, 40, 40)).min() > 20


def test_a_large_object_with_a_soft_contour_keeps_its_colour_as_a_small_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A red disc on grey, eight times as large: from pixel to pixel its contour is hardly an edge.
    monkeypatch.setattr(start, "STEEP", 80 * 80)
    times, sides = 8, 8 * 80 + 3
    y, x = (np.mgrid[:sides, :sides] - (sides - 1) / 2) / times
    radius = np.hypot(y, x)
    red = 1 / (1 + np.exp((radius - 20) / 0.9))[..., None]
    source = np.rint(120 + red * (np.array((200, 40, 40)) - 120)).astype(np.uint8)
    target = np.full((sides, sides, 3), (40, 60, 160), np.uint8)
    mask = (radius < 32).astype(np.float32)
    window = compose_scene(load_picture(source), mask, load_picture(target), Placement()).window(None)
    own = start.harmonised(window, "edges")
    assert np.abs(own[radius < 15] - (200, 40, 40)).max() < 12
    assert np.abs(own[(radius > 26) & (radius < 32)] - (40, 60, 160)).max() < 12
    np.testing.assert_array_equal(own[radius >= 32], window.target[radius >= 32])
    # Seen at full size the target's blue runs into it.
    monkeypatch.setattr(start, "STEEP", 10**9)
    assert np.abs(start.harmonised(window, "edges")[radius < 15] - (200, 40, 40)).mean() > 20


def test_resnet_runs_with_and_without_activation_smoothing(tmp_path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "resnet50.pth"
    torch.save(torchvision.models.resnet50(weights=None).state_dict(), path)
    scene, pictures = _scene(), []
    for smoothing in (True, False):
        options = preset("resnet")
        own = dataclasses.replace(options.first, num_steps=3, levels=1, smoothing=smoothing)
        options = options.with_pass("first_pass", own)
        backbone = load_backbone("resnet50", passes.wanted_taps(own), weights=path)
        result = passes.first_pass(scene, options, backbone)
        assert result.last["style"] <= result.first["style"] * 1.5
        pictures.append(result.picture)
    assert np.abs(pictures[0] - pictures[1]).max() > 0


def test_two_clusters_of_blobs_are_blended_at_once() -> None:
    mask = np.zeros((60, 240), np.float32)
    mask[5:25, 4:24] = mask[30:50, 215:236] = 1
    scene = compose_scene(
        load_picture(smooth_picture(1, 60, 240)), mask, load_picture(smooth_picture(2, 80, 260)), Placement()
    )
    options = _options(levels=1)
    result = passes.first_pass(scene, options, _backbone(options))
    assert result.changed.sum() == mask.sum()
    assert result.last["style"] + result.last["gradient"] < result.first["style"] + result.first["gradient"] + 1e-6


def _starts(scene: Scene, first: np.ndarray, **changes: Any) -> list[tuple[int, Tensor]]:
    """The scale and the pixels that every level of a second pass starts from, each of one evaluation."""
    options = _options(weights=Weights(tv=1.0), **changes)
    seen: list[Evaluation] = []
    passes.second_pass(scene, options, _backbone(options), first, conduct=passes.Conduct((seen.append,)))
    return [(record.scale, record.point.clone()) for record in seen]


def test_grain_lies_on_the_object_when_a_level_starts_and_does_not_add_up() -> None:
    scene = _scene()
    scene = dataclasses.replace(scene, target=load_picture(_noisy(scene.target.pixels)))
    first = np.asarray(scene.target.pixels, np.float32) * 0 + 128
    wanted = [
        plane - gaussian_filter(plane, 6, radius=18)
        for plane in np.asarray(scene.target.pixels, np.float64).transpose(2, 0, 1)
    ]
    inside = scene.paste()[1]
    for levels in (1, 2):
        scale, point = _starts(scene, first, num_steps=levels, levels=levels, grain=0.5)[-1]
        assert scale == 1
        np.testing.assert_allclose(point.numpy() - 128, 0.5 * np.array(wanted)[:, inside], atol=1e-3)


def test_grain_leaves_a_canvas_that_is_repainted_alone() -> None:
    scene = _scene()
    first = np.asarray(scene.target.pixels, np.float32)
    ((_, point),) = _starts(scene, first, num_steps=1, levels=1, grain=0.5, canvas=True)
    np.testing.assert_array_equal(point.numpy(), first.transpose(2, 0, 1).reshape(3, -1))


@pytest.mark.parametrize("palette", [1.0, 0.0])
def test_style_without_the_targets_palette_leaves_the_object_its_colour(palette: float) -> None:
    """A grey noisy object on a red noisy target: only the target's own palette turns it red."""
    dice = np.random.default_rng(1)
    scene = compose_scene(
        load_picture((120 + dice.normal(0, 8, (60, 64, 3))).clip(0, 255).astype(np.uint8)),
        disc_mask(60, 64).astype(np.float32) / 255,
        load_picture((np.array([200, 60, 50]) + dice.normal(0, 8, (110, 131, 3))).clip(0, 255).astype(np.uint8)),
        Placement(),
    )
    options = _options(
        backbone="embedded", num_steps=30, palette=palette, colour_weight=0.0, weights=Weights(style=1.0)
    )
    first = scene.paste()[0]
    network = load_backbone("embedded", passes.wanted_taps(options.second))
    result = passes.second_pass(scene, options, network, np.asarray(first, np.float32))
    # The rim's features see the red around it, and draw the object some way towards it even so.
    inside = binary_erosion(scene.paste()[1], iterations=12)
    redness = (result.picture[..., 0] - result.picture[..., 1])[inside].mean()
    assert (redness > 120) if palette else (redness < 60), redness


def _noisy(pixels: np.ndarray) -> np.ndarray:
    return (pixels + np.random.default_rng(3).normal(0, 12, pixels.shape)).clip(0, 255).astype(np.uint8)


def test_without_a_membrane_the_source_lies_on_the_target_as_it_is() -> None:
    source, target = smooth_picture(1, 24, 30), smooth_picture(2, 24, 30)
    mask = np.zeros((24, 30), np.float32)
    mask[6:18, 8:20] = 1
    window = compose_scene(load_picture(source), mask, load_picture(target), Placement()).window(None)
    laid = start.harmonised(window, "none")
    np.testing.assert_array_equal(laid[6:18, 8:20], source[6:18, 8:20])
    np.testing.assert_array_equal(laid[mask == 0], target[mask == 0])


def test_large_object_comes_out_as_the_exhaustive_way_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The finest scale's few evaluations, by shallow layers and tile by tile, leave out little."""
    scene = compose_scene(
        load_picture(smooth_picture(1, 200, 210)),
        disc_mask(200, 210).astype(np.float32) / 255,
        load_picture(np.random.default_rng(0).integers(60, 160, (300, 320, 3), np.uint8)),
        Placement(),
    )
    options = _options(backbone="embedded", num_steps=40)
    backbone = load_backbone("embedded", passes.wanted_taps(options.second))
    start = scene.composed(*scene.pasted())
    whole = passes.second_pass(scene, options, backbone, start)
    monkeypatch.setattr(schedule, "LARGE", 20_000)
    found = passes.pass_levels("second_pass", scene, options.second, backbone.network)
    assert [(level.until, level.corrects) for level in found] == [(37, False), (40, True)]
    few = passes.second_pass(scene, options, backbone, start)
    inside, outside = scene.canvas_mask() > 0, scene.canvas_mask() == 0
    assert np.array_equal(few.seen()[outside], scene.target.pixels[outside])
    # What the pass changed, and how far the two ways are apart, in grey levels.
    changed, apart = (
        np.abs(whole.picture[inside] - other[inside]).mean() for other in (as_float(start), few.picture)
    )
    assert apart < 0.35 * changed


def test_pass_resumes_to_the_same_bits_where_it_only_corrects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "LARGE", 1000)
    scene, options = _scene(), _options(num_steps=20, levels=2)
    backbone = _backbone(options)
    kept: list[LoopState] = []

    def keep(record: Evaluation) -> None:
        if record.index == 19:
            kept.append(copy.deepcopy(record.state))

    whole = passes.first_pass(scene, options, backbone, conduct=passes.Conduct(observers=(keep,)))
    assert kept[0].level == 1
    resumed = passes.first_pass(scene, options, backbone, conduct=passes.Conduct(resume=kept[0]))
    assert np.array_equal(whole.picture, resumed.picture)
