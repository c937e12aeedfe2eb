"""One job, whoever starts it: the command line and Python make the same run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import deep_image_blending as dib
from deep_image_blending.api import Watch
from deep_image_blending.cli import run_command
from deep_image_blending.errors import InputError
from deep_image_blending.pictures import read_picture
from deep_image_blending.runs.devices import arithmetic
from deep_image_blending.runs.execution import execute
from deep_image_blending.runs.job import Hooks, new_job
from deep_image_blending.runs.recorder import Interrupted
from deep_image_blending.solve.loop import Evaluation
from tests.conftest import Case

FAST = {"backbone": "random", "num_steps": 3, "threads": 1}


def test_python_and_the_command_line_make_the_same_run(case: Case, tmp_path: Path) -> None:
    words = [*case.options(), "--backbone", "random", "--num-steps", "3", "--threads", "1", "--quiet"]
    assert run_command(["run", *words, "--output-dir", str(tmp_path / "cli")]) == 0
    found = dib.blend(case.source, case.mask, case.target, output_dir=tmp_path / "api", **FAST)
    for name in ("composite.png", "mask.png", "first_pass.png", "second_pass.png"):
        assert (tmp_path / "cli" / name).read_bytes() == (tmp_path / "api" / name).read_bytes()
    options = [json.loads((tmp_path / which / "run.json").read_text())["options"] for which in ("cli", "api")]
    assert options[0] == options[1]
    np.testing.assert_array_equal(found.picture, read_picture(tmp_path / "api" / "second_pass.png").pixels)


def test_python_stops_a_run_and_resumes_it_to_the_same_bits(case: Case, tmp_path: Path) -> None:
    whole = dib.blend(case.source, case.mask, case.target, **FAST)
    seen: list[Evaluation] = []
    watch = Watch(observers=(seen.append,), stop=lambda: len(seen) == 2)
    with pytest.raises(Interrupted):
        dib.blend(case.source, case.mask, case.target, watch=watch, output_dir=tmp_path / "run", **FAST)
    again = dib.blend(case.source, case.mask, case.target, output_dir=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(again.picture, whole.picture)


def test_an_image_in_memory_is_what_the_first_pass_starts_from(case: Case) -> None:
    target = read_picture(case.target).pixels
    seen: list[Evaluation] = []
    dib.first_pass(case.source, case.mask, case.target, init=target, watch=Watch((seen.append,)), **FAST)
    start = seen[0].point.numpy()
    inside = np.zeros((48, 56), bool)
    inside[12:36, 14:42] = read_picture(case.mask).pixels[..., 0] > 0
    np.testing.assert_array_equal(start.T, target[inside])


def test_hooks_hear_of_phases_and_decisions(case: Case) -> None:
    said: list[str] = []
    phases: list[str] = []
    execute(new_job({**case.files(), **FAST}), Hooks(say=said.append, phase=phases.append))
    assert any(line.startswith("backbone random") for line in said)
    (membrane,) = (line for line in said if line.startswith("membrane "))
    assert membrane.endswith("the pictures differ, so its colours are held up to its contours")
    assert "Poisson start" in phases


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"style_from": "simlar"}, "style_from 'simlar' is not there; did you mean 'similar'"),
        ({"membrane": "ful"}, "membrane 'ful' is not there; did you mean 'full'"),
        ({"colour_weight": -5}, "colour_weight -5 is out of range; give 0 or more"),
        ({"levels": -1}, "levels -1 is out of range"),
        ({"objective": "x"}, "unknown option 'objective'"),
        ({"colour": 1}, "did you mean 'colour_weight'"),
        ({"max_memory": 1e-4}, "not enough memory"),
        ({"init": np.zeros((4, 4, 3), np.uint8)}, "the canvas is 56x48"),
        ({"content_weight": 0, "style_weight": 0, "grad_weight": 0, "tv_weight": 0}, "nothing to do"),
    ],
)
def test_python_refuses_what_the_command_line_refuses_in_its_own_words(
    case: Case, given: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError) as raised:
        dib.blend(case.source, case.mask, case.target, **{**FAST, **given})
    assert words in str(raised.value)
    assert "--" not in str(raised.value)


def test_threads_and_tensorfloat_are_as_before_afterwards() -> None:
    before = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        with arithmetic(1, "float32"):
            assert not torch.backends.cudnn.allow_tf32
            assert not torch.backends.cuda.matmul.allow_tf32
            assert torch.get_num_threads() == 1
        assert torch.backends.cudnn.allow_tf32
        with arithmetic(None, "bf16"):
            assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before[1]
    assert torch.get_num_threads() == before[0]
