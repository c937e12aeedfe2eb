"""The device path without a GPU: bfloat16 on the CPU, a pretended device's memory, TensorFloat-32, threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deep_image_blending.cli.app import run_command
from deep_image_blending.errors import is_out_of_memory
from deep_image_blending.runs import memory_at_hand as memory
from deep_image_blending.runs import plan
from deep_image_blending.runs.devices import arithmetic
from tests.conftest import Case

TINY = ["--backbone", "random", "--num-steps", "3", "--quiet", "--threads", "1"]


def _picture(case: Case, folder: Path, *words: str) -> np.ndarray:
    assert run_command(["run", *case.options(), *TINY, *words, "--output-dir", str(folder)]) == 0
    return np.asarray(Image.open(folder / "second_pass.png")).astype(int)


def test_bf16_on_the_cpu_is_near_float32(case: Case, tmp_path: Path) -> None:
    exact = _picture(case, tmp_path / "a", "--precision", "float32")
    near = _picture(case, tmp_path / "b", "--precision", "bf16")
    assert np.abs(exact - near).mean() < 2


def test_float32_means_no_tensorfloat_and_all_is_as_before_afterwards() -> None:
    before = torch.get_num_threads(), torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    with arithmetic(1, "float32"):
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    with arithmetic(None, "bf16"):
        assert torch.backends.cudnn.allow_tf32 == before[1]
    after = torch.get_num_threads(), torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    assert after == before


def test_a_devices_memory_is_what_is_free_and_what_is_held_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 100)
    assert memory.device_available("cuda:0") == 1200
    assert plan.at_hand("cuda:0", 0, 700).device == 700
    assert plan.at_hand("cuda:0", 0, None).device == 1200


def test_out_of_memory_is_told_by_type_not_by_the_word() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.cuda.OutOfMemoryError())
    assert not is_out_of_memory(RuntimeError("this memory of mine"))
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60)
    assert is_out_of_memory(raised.value)


@pytest.mark.gpu
def test_both_passes_on_a_gpu_agree_with_bf16(case: Case, tmp_path: Path) -> None:
    exact = _picture(case, tmp_path / "a", "--device", "cuda", "--precision", "float32")
    near = _picture(case, tmp_path / "b", "--device", "cuda", "--precision", "bf16")
    on_cpu = _picture(case, tmp_path / "c", "--device", "cpu")
    assert np.abs(exact - near).mean() < 2
    assert np.abs(exact - on_cpu).mean() < 2


@pytest.mark.gpu
def test_a_graphics_card_without_memory_is_one_line(case: Case, tmp_path: Path) -> None:
    words = ["--device", "cuda", "--memory", "full", "--max-memory", "0.001"]
    assert run_command(["run", *case.options(), *TINY, *words, "--output-dir", str(tmp_path / "a")]) == 2
