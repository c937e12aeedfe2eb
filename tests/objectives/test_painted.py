"""The painted objective and its pass: rounds, exact resumption, the background, strength, and odd objects."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from deep_image_blending import api, passes
from deep_image_blending.cli.app import run_command
from deep_image_blending.errors import InputError
from deep_image_blending.networks.backbones import Backbone, load_backbone
from deep_image_blending.objectives import painted, recipe
from deep_image_blending.objectives.kinds import kind_of
from deep_image_blending.objectives.objective import Setting
from deep_image_blending.objectives.painting_kind import kind_of_painting
from deep_image_blending.options.presets import preset
from deep_image_blending.options.run_options import Options
from deep_image_blending.pictures import load_picture
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.scene import Scene, compose_scene
from deep_image_blending.pictures.tensors import image_tensor
from deep_image_blending.solve.lbfgs import LBFGS
from deep_image_blending.solve.loop import Evaluation, LoopState
from tests.conftest import disc_mask, smooth_picture, written_case


def strokes(seed: int, height: int, width: int, breadth: float = 1) -> np.ndarray:
    """(H, W, 3) uint8: noise smeared along one direction, in blues."""
    dice = np.random.default_rng(seed)
    light = gaussian_filter(dice.normal(size=(height, width)), (4 * breadth, breadth))
    light = 110 + 45 * light / light.std()
    return np.stack([0.5 * light, 0.8 * light, 1.2 * light + 20], -1).clip(0, 255).astype(np.uint8)


def _scene(mask: np.ndarray | None = None, **placement: Any) -> Scene:
    if mask is None:
        mask = disc_mask(92, 100).astype(np.float32) / 255
    source = load_picture(smooth_picture(1, *mask.shape))
    return compose_scene(source, mask, load_picture(strokes(2, 124, 131)), Placement(**placement))


def _options(**changes: Any) -> Options:
    options = preset("painterly")
    return options.with_pass("second_pass", dataclasses.replace(options.second, **{"num_steps": 12, **changes}))


BACKBONE: Backbone = load_backbone("embedded", passes.wanted_taps(preset("painterly").second))


def _painted(scene: Scene, options: Options, **conduct: Any) -> passes.PassResult:
    first = scene.paste()[0]
    return passes.second_pass(scene, options, BACKBONE, first, conduct=passes.Conduct(**conduct))


@pytest.fixture(scope="module")
def whole() -> tuple[passes.PassResult, list[Evaluation], list[tuple[Any, ...]]]:
    """A pass of four rounds, its evaluations, and its state after each of them."""
    records: list[Evaluation] = []
    states: list[tuple[Any, ...]] = []

    def keep(record: Evaluation) -> None:
        records.append(record)
        tensors, numbers = record.state.solver.state_dict()
        tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        loop = {
            part.name: getattr(record.state, part.name)
            for part in dataclasses.fields(record.state)
            if part.name not in ("solver", "before")
        }
        before = None if record.state.before is None else record.state.before.clone()
        states.append((tensors, numbers, loop, before))

    return _painted(_scene(), _options(), observers=(keep,)), records, states


def test_a_pass_goes_in_rounds_from_coarse_to_fine_and_each_lowers_its_loss(whole) -> None:
    result, records, _ = whole
    assert [record.index for record in records] == list(range(1, 13))
    assert {(record.round, record.rounds) for record in records} == {(n, 4) for n in (1, 2, 3, 4)}
    assert sorted({record.scale for record in records}) == [1, 2]
    for number in (1, 2, 3, 4):
        totals = [record.total for record in records if record.round == number]
        assert min(totals) < totals[0]
    assert set(records[0].terms) == {"neighbours", "moments", "covariance", "form", "tone"}
    assert result.first
    assert result.last


@pytest.mark.parametrize("after", [2, 5, 6, 9, 12])
def test_resuming_inside_a_round_and_between_rounds_gives_the_same_bits(whole, after: int) -> None:
    result, records, states = whole
    tensors, numbers, loop, before = states[after - 1]
    assert records[after - 1].index == after
    state = LoopState(LBFGS.from_state_dict(tensors, numbers), **loop, before=before)
    again = _painted(_scene(), _options(), resume=state)
    np.testing.assert_array_equal(again.picture, result.picture)


def test_the_same_bits_come_twice_and_the_background_is_untouched(whole) -> None:
    result = whole[0]
    np.testing.assert_array_equal(_painted(_scene(), _options()).picture, result.picture)
    scene = _scene()
    outside = scene.canvas_mask() == 0
    np.testing.assert_array_equal(result.picture[outside], np.asarray(scene.target.pixels, np.float32)[outside])
    assert np.abs(result.picture - scene.paste()[0])[~outside].mean() > 5


def test_features_are_those_of_the_whole_framed_painting() -> None:
    objective = _objective(_scene())
    painter, view = objective.painter, objective.painter.view
    x = objective.pixels.gather(objective.start)
    part = view.pixels.blended(x)
    framed = view.pixels.frame.of(view.pixels.target)
    rows, columns = view.box.slices()
    framed[:, :, rows, columns] = part
    plain = BACKBONE.network.features(framed, set(painter.taps))
    for tap, found in painter.seen(part).items():
        step = painter.strides[tap]
        box = tuple(slice(s.start // step, s.stop // step) for s in (rows, columns))
        torch.testing.assert_close(found, plain[tap][:, :, box[0], box[1]], rtol=1e-3, atol=2e-3)


def test_gradient_equals_finite_differences() -> None:
    objective = _objective(_scene())
    x = objective.pixels.gather(objective.start).detach().requires_grad_()
    total = torch.stack(list(objective.terms(x).values())).sum()
    (gradient,) = torch.autograd.grad(total, x)
    direction = gradient / gradient.norm()
    step = 4.0
    with torch.no_grad():
        ahead, behind = (
            torch.stack(list(objective.terms(x + sign * step * direction).values())).double().sum()
            for sign in (1, -1)
        )
    assert float((ahead - behind) / (2 * step)) == pytest.approx(float(gradient.norm()), rel=0.02)


def _objective(scene: Scene, **changes: Any) -> painted.PaintedObjective:
    options = _options(**changes).second
    level = passes.pass_levels("second_pass", scene, options, BACKBONE.network)[-1]
    window, cpu = level.window, torch.device("cpu")
    begun = window.target + window.mask[..., None] * (window.source - window.target)
    before = image_tensor(begun, cpu)
    built = kind_of("painted").build(
        Setting(
            *("second_pass", scene, window, options, BACKBONE.network, begun, cpu, passes.Prepared()),
            round=level.round,
            before=before,
        )
    )
    assert isinstance(built, painted.PaintedObjective)
    return built


def test_strength_0_keeps_the_objects_mean_palette_and_1_takes_the_paintings() -> None:
    scene = _scene(disc_mask(60, 64).astype(np.float32) / 255)
    inside = scene.canvas_mask() > 0.5

    def mean(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
        """The mean colour without its lightness, in grey levels."""
        colour = np.asarray(picture, np.float64)[where].mean(0)
        return colour - colour.mean()

    own, theirs = mean(scene.paste()[0], inside), mean(scene.target.pixels, ~inside)
    chroma = {
        s: mean(_painted(scene, _options(num_steps=16, strength=s)).picture, inside) for s in (0.0, 0.5, 1.0)
    }
    way = {s: (found - own) @ (theirs - own) / ((theirs - own) @ (theirs - own)) for s, found in chroma.items()}
    assert abs(way[0.0]) < 0.2, way
    assert 0.25 < way[0.5] < 0.75, way
    assert way[1.0] > 0.75, way
    assert np.linalg.norm(chroma[0.0] - own) < 8


MASKS = {
    "soft": np.clip(gaussian_filter((disc_mask(80, 80) > 0).astype(np.float32), 5), 0, 1),
    "faint": 0.3 * (disc_mask(60, 60) > 0).astype(np.float32),
    "one pixel": np.pad(np.ones((1, 1), np.float32), 4),
    "a few pixels": np.pad(np.ones((3, 2), np.float32), 5),
    "a line": np.pad(np.ones((1, 90), np.float32), 3),
    "two blobs": np.pad(np.kron(np.eye(2, dtype=np.float32), np.ones((20, 20), np.float32)), 2),
    "all of the canvas": np.ones((124, 131), np.float32),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_any_mask_is_painted_and_nothing_else(mask: np.ndarray) -> None:
    scene = _scene(mask)
    result = _painted(scene, _options(num_steps=4))
    assert np.isfinite(result.picture).all()
    outside = scene.canvas_mask() == 0
    np.testing.assert_array_equal(result.picture[outside], np.asarray(scene.target.pixels, np.float32)[outside])
    assert (result.picture[~outside] != np.asarray(scene.target.pixels, np.float32)[~outside]).any()


@pytest.mark.parametrize("place", [(0, 0), (123, 130), (60, 0), (10, 128)], ids=str)
def test_an_object_over_the_border_is_painted(place: tuple[int, int]) -> None:
    scene = _scene(x=place[0], y=place[1])
    result = _painted(scene, _options(num_steps=4))
    outside = scene.canvas_mask() == 0
    np.testing.assert_array_equal(result.picture[outside], np.asarray(scene.target.pixels, np.float32)[outside])
    assert np.isfinite(result.picture).all()


def test_a_soft_mask_blends_with_the_painting_by_its_coverage() -> None:
    scene = _scene(MASKS["soft"])
    result = _painted(scene, _options(num_steps=4))
    cover = scene.canvas_mask()[..., None]
    change = np.abs(result.picture - scene.target.pixels)
    assert (change <= 256 * cover).all()


def test_a_small_object_sees_a_bounded_part_of_a_huge_painting() -> None:
    mask = np.ones((40, 40), np.float32)
    target = np.broadcast_to(np.uint8(90), (3000, 4000, 3))
    scene = compose_scene(load_picture(smooth_picture(1, 40, 40)), mask, load_picture(target), Placement())
    window = passes.pass_levels("second_pass", scene, _options().second, BACKBONE.network)[-1].window
    assert window.mask.size < 1.02 * recipe.MOST_STUDIED


def test_a_large_object_is_painted_at_half_its_size_and_keeps_fine_detail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "MOST_PAINTED", 3000)
    monkeypatch.setattr(recipe, "MOST_STUDIED", 6000)
    scene, records = _scene(), list[Evaluation]()
    result = _painted(scene, _options(num_steps=6), observers=(records.append,))
    assert min(record.scale for record in records) == 2
    assert result.first
    outside = scene.canvas_mask() == 0
    np.testing.assert_array_equal(result.picture[outside], np.asarray(scene.target.pixels, np.float32)[outside])
    inner = scene.canvas_mask() >= 1
    fine = [p - gaussian_filter(p, (1, 1, 0)) for p in (result.picture, scene.paste()[0])]
    assert fine[0][inner].std() > 0.3 * fine[1][inner].std()


def test_kinds_of_painting_are_told_apart() -> None:
    mask = np.zeros((128, 128), np.float32)
    mask[50:80, 50:80] = 1
    flat = np.full((128, 128, 3), (200, 60, 40), np.float32)
    flat[:, 90:] = (40, 60, 160)
    grain = (128 + np.random.default_rng(0).normal(0, 30, (128, 128, 3))).clip(0, 255).astype(np.float32)
    kinds = {
        "poster": flat,
        "drawing": np.repeat(flat.mean(2, keepdims=True), 3, 2),
        "dots": grain,
        "broad": strokes(1, 128, 128, breadth=3).astype(np.float32),
        "strokes": strokes(1, 128, 128).astype(np.float32),
    }
    for kind, picture in kinds.items():
        assert kind_of_painting(picture, mask).kind == kind
    calm = np.where(np.arange(128)[:, None] < 32, 128, grain).astype(np.float32)
    assert kind_of_painting(calm, mask).kind == "soft"


def test_a_loss_that_the_objective_has_not_is_refused_in_one_line() -> None:
    paste = smooth_picture(1, 40, 40)
    for given, said in (
        ({"strength": 0.5}, "strength goes with preset painterly only"),
        ({"form_weight": 1.0}, "form_weight goes with preset painterly only"),
    ):
        with pytest.raises(InputError, match=said):
            api.blend(paste, disc_mask(40, 40), paste, **given)
    with pytest.raises(InputError, match="no loss 'style' in the objective painted"):
        dataclasses.replace(_options().second, weights=_options().second.weights.changed(style=1.0))


def test_the_command_line_paints_says_the_kind_and_leaves_the_background(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = written_case(tmp_path, 24, 28)
    run = tmp_path / "run"
    given = [
        "run",
        *case.options(),
        "--preset",
        "painterly",
        "--num-steps",
        "4",
        "--output-dir",
        str(run),
        "--plain",
    ]
    assert run_command([*given, "--backbone", "random", "--plain"]) == 0
    said = capsys.readouterr().err
    assert "round 1 of 2" in said
    assert "painting " in said
    manifest = json.loads((run / "run.json").read_text())
    assert any(line.startswith("painting ") for line in manifest["decisions"])
    assert manifest["options"]["second"]["painting"] in recipe.FACTORS
    target = np.asarray(Image.open(case.target))
    mask, picture = (np.asarray(Image.open(run / name)) for name in ("mask.png", "second_pass.png"))
    np.testing.assert_array_equal(picture[mask == 0], target[mask == 0])
    header = (run / "second_pass.losses.csv").read_text().splitlines()[0]
    assert header.endswith("tv,neighbours,moments,covariance,form,tone")
    assert run_command(["second-pass", str(run), "--num-steps", "3", "--strength", "0.2", "--quiet"]) == 0
    assert json.loads((run / "run.json").read_text())["options"]["second"]["strength"] == 0.2
    file = ["second-pass", "--first-pass-file", str(run / "first_pass.png"), "--mask-file", str(run / "mask.png")]
    file += ["--target-file", str(case.target), "--preset", "painterly", "--num-steps", "2", "--quiet"]
    assert run_command([*file, "--output-dir", str(tmp_path / "other")]) == 0
