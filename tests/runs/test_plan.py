"""A run's plan: what it counts, and what is done when it does not fit."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch

from deep_image_blending import passes
from deep_image_blending.cli.app import run_command
from deep_image_blending.errors import InputError, is_out_of_memory
from deep_image_blending.networks.backbones import Backbone, load_backbone
from deep_image_blending.networks.box import whole
from deep_image_blending.networks.region import RegionFeatures
from deep_image_blending.objectives import natural as objective
from deep_image_blending.objectives.kinds import kind_of
from deep_image_blending.objectives.objective import Setting
from deep_image_blending.options import pass_options, presets, run_options
from deep_image_blending.passes import levels, two_passes
from deep_image_blending.pictures import load_picture
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.scene import Scene, compose_scene
from deep_image_blending.pictures.tensors import image_tensor
from deep_image_blending.runs import devices, plan
from tests.benchmarks import memory as benchmark
from tests.conftest import Case, disc_mask, smooth_picture

BOTH: tuple[pass_options.PassName, ...] = ("first_pass", "second_pass")


def _scene(side: int, height: int, width: int) -> Scene:
    return compose_scene(
        load_picture(smooth_picture(1, side, side)),
        disc_mask(side, side).astype(np.float32) / 255,
        load_picture(smooth_picture(2, height, width)),
        Placement(),
    )


def _loaded(backbone: str = "embedded") -> tuple[run_options.Options, dict[pass_options.PassName, Backbone]]:
    options = presets.preset("natural")
    for name in BOTH:
        options = options.with_pass(name, dataclasses.replace(options.of(name), backbone=backbone, num_steps=6))
    network = load_backbone(backbone, passes.wanted_taps(options.first))
    return options, dict.fromkeys(BOTH, network)


def _peak(side: int, height: int, width: int, way: plan.Way = "full") -> int:
    return plan.plan_run(_scene(side, height, width), *_loaded(), BOTH, way, held=0).peak.host


def test_estimate_grows_with_the_object() -> None:
    peaks = [_peak(side, 900, 900) for side in (32, 64, 128, 256, 512)]
    assert peaks == sorted(peaks)
    assert len(set(peaks)) == len(peaks)


def test_estimate_does_not_grow_with_the_canvas() -> None:
    # The window is the object with as much around it as it is large; its alignment adds a little.
    assert _peak(128, 1600, 1600) < 1.3 * _peak(128, 800, 800)


def test_tiles_take_less_memory_and_more_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "thrifty_tile", lambda network: 128)
    scene, (options, loaded) = _scene(700, 800, 800), _loaded()
    full, thrifty = (plan.plan_run(scene, options, loaded, BOTH, way, held=0) for way in plan.WAYS)
    assert thrifty.peak.host < full.peak.host
    for a, b in zip(full.passes, thrifty.passes, strict=True):
        assert b.multiply_adds > 1.4 * a.multiply_adds


def test_plan_has_the_levels_and_windows_of_the_pass() -> None:
    scene, (options, loaded) = _scene(300, 500, 640), _loaded()
    for one in plan.plan_run(scene, options, loaded, BOTH, held=0).passes:
        found = passes.pass_levels(one.name, scene, options.of(one.name), loaded[one.name].network)
        assert [level.window for level in one.levels] == [level.window.mask.shape for level in found]
        assert [level.pixels for level in one.levels] == [int((level.window.mask > 0).sum()) for level in found]
        assert one.evaluations == found[-1].until == 6


def test_multiply_adds_are_those_of_the_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0.0
    conv2d = torch.nn.functional.conv2d

    def counting(value: torch.Tensor, weight: torch.Tensor, *rest: Any, **more: Any) -> torch.Tensor:
        nonlocal counted
        result = conv2d(value, weight, *rest, **more)
        counted += result.shape[2] * result.shape[3] * weight.numel()
        return result

    network = load_backbone("random", {"relu3_3"}).network
    pixels = torch.rand(1, 3, 40, 48)
    evaluate = RegionFeatures(network, pixels, whole((40, 48)), {"relu3_3"})
    monkeypatch.setattr("deep_image_blending.networks.region.F.conv2d", counting)
    evaluate(pixels)
    assert plan._work(network, evaluate.boxes) == counted


def test_kept_activations_are_at_least_what_autograd_saves() -> None:
    """The estimate of one box is an upper bound of the tensors that the graph of a real evaluation holds."""
    scene, (options, loaded) = _scene(96, 160, 160), _loaded("random")
    network = loaded["first_pass"].network
    level = passes.pass_levels("first_pass", scene, options.first, network)[-1]
    own = dataclasses.replace(options.first, style_from="whole")
    built = kind_of(own.objective).build(
        Setting(
            "first_pass",
            scene,
            level.window,
            own,
            network,
            level.window.source,
            torch.device("cpu"),
            passes.Prepared(),
        )
    )
    assert isinstance(built, objective.NormalisedObjective)
    saved: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x = built.pixels.gather(image_tensor(level.window.source, torch.device("cpu"))).requires_grad_(True)
    region = built.regions[0]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        terms = built.terms(x)
    assert terms
    style, content = passes.taps_of(own)
    counted = plan.activations(network, region.features.boxes, style, content, 4)
    assert 0.6 * counted < sum(saved.values()) < 1.2 * counted


def test_what_does_not_fit_goes_the_thrifty_way_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "thrifty_tile", lambda network: 128)
    scene, (options, loaded) = _scene(700, 800, 800), _loaded()
    # What tests before have freed is no part of what is held.
    devices.give_back_freed()
    full, thrifty = (plan.plan_run(scene, options, loaded, BOTH, way).peak.host for way in plan.WAYS)
    assert full - thrifty > 64 * 2**20
    between = (full + thrifty) // 2
    decision = plan.decide(scene, options, loaded, BOTH, limit=between)
    assert decision.plan.way == "thrifty"
    assert decision.said is not None
    assert "tile by tile" in decision.said
    assert plan.decide(scene, options, loaded, BOTH, limit=2 * full).plan.way == "full"
    with pytest.raises(InputError, match="would fit"):
        plan.decide(scene, options, loaded, BOTH, wanted="full", limit=between)


def test_size_that_is_said_to_fit_fits() -> None:
    scene, (options, loaded) = _scene(400, 600, 800), _loaded()
    devices.give_back_freed()
    found = plan.plan_run(scene, options, loaded, BOTH, "thrifty")
    limit = found.held + (found.peak.host - found.held) * 7 // 10
    with pytest.raises(InputError) as refusal:
        plan.decide(scene, options, loaded, BOTH, limit=limit)
    said = re.search(r"--ss (\d+) --ts (\d+) would fit", str(refusal.value))
    assert said is not None
    ss, ts = (int(number) for number in said.groups())
    assert ss < 400
    assert ts < 800
    smaller = _scene(ss, round(ts * 0.75), ts)
    # What the process holds has grown a little since.
    assert plan.plan_run(smaller, options, loaded, BOTH, "thrifty").peak.host <= 1.05 * limit


def test_dry_run_prints_the_plan_and_writes_nothing(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert run_command(["run", *case.options(), "--dry-run", "--num-steps", "7"]) == 0
    printed = capsys.readouterr().out
    for word in ("natural", "56x48", "embedded", "shipped with the package", "7: 7 at 1:1", "GiB", "all at once"):
        assert word in printed
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["first-pass", "second-pass"])
def test_dry_run_of_one_pass(command: str, case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--source-file", str(case.source)] if command == "first-pass" else []
    files = ["--mask-file", str(case.mask), "--target-file", str(case.target)]
    if command == "second-pass":
        given = ["--first-pass-file", str(case.target)]
    before = sorted(tmp_path.rglob("*"))
    assert run_command([command, *given, *files, "--dry-run", "--output-dir", str(tmp_path / "run")]) == 0
    assert command.replace("-", " ") in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


def test_weights_that_would_be_downloaded_are_not(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    assert run_command(["first-pass", *case.options(), "--dry-run", "--backbone", "vgg16"]) == 0
    assert "to be downloaded" in capsys.readouterr().out
    assert not (tmp_path / "cache").exists()


def test_run_too_large_for_memory_is_refused_and_nothing_is_written(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert run_command(["run", *case.options(), "--output-dir", str(run), "--max-memory", "0.01"]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("blend:")]
    assert len(lines) == 1
    assert "not enough memory" in lines[0]
    assert "0.01 GiB" in lines[0]
    assert not run.exists()


def test_thrifty_run_gives_the_same_picture_and_is_recorded(case: Case, tmp_path: Path) -> None:
    pictures = []
    for way in plan.WAYS:
        run = tmp_path / way
        steps = ["--num-steps", "3", "--quiet", "--memory", way]
        assert run_command(["run", *case.options(), "--output-dir", str(run), *steps]) == 0
        manifest = json.loads((run / "run.json").read_text(encoding="utf-8"))
        assert {entry["memory"] for entry in manifest["passes"].values()} == {way}
        assert any("tile by tile" in line for line in manifest["decisions"]) == (way == "thrifty")
        pictures.append(load_picture(run / "second_pass.png").pixels.astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


def _failing(times: int, error: Callable[[], Exception], at: int) -> Any:
    """Terms that run out of memory at an evaluation, the first `times` times that it is reached."""
    original = objective.NormalisedObjective.terms
    calls = {"now": 0, "failed": 0}

    def terms(self: Any, x: torch.Tensor) -> dict[str, torch.Tensor]:
        calls["now"] += 1
        if calls["now"] == at and calls["failed"] < times:
            calls["now"], calls["failed"] = 0, calls["failed"] + 1
            raise error()
        return original(self, x)

    return terms


ERRORS = {
    "CPU": lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    "NumPy": lambda: MemoryError("Unable to allocate 1. TiB"),
    "CUDA": lambda: torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
def test_allocators_that_give_up_are_known(error: Callable[[], Exception]) -> None:
    assert is_out_of_memory(error())


def test_pass_that_runs_out_of_memory_is_tried_once_more_in_less(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["first-pass", *case.options(), "--num-steps", "6", "--quiet", "--output-dir"]
    assert run_command([*command, str(tmp_path / "undisturbed")]) == 0
    ways = []
    original = two_passes.tile_of
    monkeypatch.setattr(two_passes, "tile_of", lambda *given: ways.append(given[1]) or original(*given))
    monkeypatch.setattr(objective.NormalisedObjective, "terms", _failing(1, ERRORS["CUDA"], at=3))
    run = tmp_path / "run"
    assert run_command([*command, str(run), "--checkpoint-every", "0"]) == 0
    assert ways == [False, True]
    assert "out of memory; trying once more" in capsys.readouterr().err
    manifest = json.loads((run / "run.json").read_text(encoding="utf-8"))
    entry = manifest["passes"]["first_pass"]
    assert (entry["status"], entry["memory"], entry["evaluations"]) == ("done", "thrifty", 6)
    assert any("out of memory" in line for line in manifest["decisions"])
    assert len((run / "first_pass.losses.csv").read_text(encoding="utf-8").splitlines()) == 7
    pictures = [
        load_picture(tmp_path / name / "first_pass.png").pixels.astype(int) for name in ("undisturbed", "run")
    ]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_second_time_out_of_memory_ends_the_run_with_a_size_that_would_fit(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(objective.NormalisedObjective, "terms", _failing(2, ERRORS["CUDA"], at=2))
    monkeypatch.setattr(plan, "fitting_size", lambda *given: "--ss 12 --ts 34 would fit")
    run = tmp_path / "run"
    assert run_command(["run", *case.options(), "--num-steps", "4", "--quiet", "--output-dir", str(run)]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "not enough memory" in line
    assert "--ss 12 --ts 34 would fit" in line
    entry = json.loads((run / "run.json").read_text(encoding="utf-8"))["passes"]["first_pass"]
    assert entry["status"] == "failed"


def test_other_errors_are_not_taken_for_memory(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = _failing(1, lambda: RuntimeError("shapes differ"), at=2)
    monkeypatch.setattr(objective.NormalisedObjective, "terms", terms)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run_command(["first-pass", *case.options(), "--quiet", "--output-dir", str(tmp_path / "run")])


def test_freeing_caches_needs_no_graphics_card() -> None:
    devices.free_caches("cpu")


@pytest.mark.slow
def test_peak_memory_of_a_run_follows_the_object_not_the_canvas(tmp_path: Path) -> None:
    """At most 1.3 times as much on a 4096x4096 canvas as on a 512x512 one, the pictures themselves apart."""
    small, large = (benchmark.command(tmp_path, 160, (side, side), 4, ()) for side in (512, 4096))
    assert large["peak"] <= 1.3 * small["peak"] + large["picture"]


@pytest.mark.slow
@pytest.mark.parametrize(("side", "backbone"), [(96, "embedded"), (400, "embedded"), (400, "random")])
@pytest.mark.parametrize("way", plan.WAYS)
def test_plan_is_an_upper_bound_of_the_command_within_a_sixth(side: int, backbone: str, way: plan.Way) -> None:
    found = benchmark.estimated(("natural", backbone, side, side * 3 // 2, side * 2, way), 4)
    # Peaks of one case differ by some hundredths.
    assert 0.97 * found["measured"] < found["estimate"] < 1.17 * found["measured"]


def _noise(kind: str, rows: int, columns: int) -> bytes:
    """A file of noise, which no encoder makes smaller."""
    name, channels, bits = kind.split()
    most, shape = 2 ** int(bits), (rows, columns, int(channels))
    values = np.random.default_rng(0).integers(0, most, shape, np.uint8 if bits == "8" else np.uint16)
    encode = {
        "png": lambda: imagecodecs.png_encode(values, level=1),
        "jpeg": lambda: imagecodecs.jpeg_encode(values, level=95),
        "webp": lambda: imagecodecs.webp_encode(values, lossless=True, level=0),
    }
    if name in encode:
        return bytes(encode[name]())
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, photometric="rgb")
    return stream.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("as_what", ["picture", "mask"])
@pytest.mark.parametrize(
    "kind", ["png 3 8", "png 4 8", "png 3 16", "png 4 16", "jpeg 3 8", "webp 3 8", "tiff 3 16"]
)
def test_reading_takes_at_most_what_the_heading_says(kind: str, as_what: str, tmp_path: Path) -> None:
    path = tmp_path / kind.replace(" ", ".")
    path.write_bytes(_noise(kind, 1500, 2000))
    path.with_name(f"small-{path.name}").write_bytes(_noise(kind, 15, 20))
    found = benchmark.in_process([str(path), as_what])
    assert 0.4 * found["said"] < found["took"] <= found["said"]
