"""The device, its numbers and its threads."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from deep_image_blending.errors import InputError
from deep_image_blending.options.machine import Machine, Precision

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""glibc's names for them, in malloc.h."""


def available_devices() -> list[str]:
    """The names of the devices that are there, the CPU first."""
    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def resolve_device(machine: Machine) -> tuple[str, str | None]:
    """The device that a machine's options mean, and what to say of it.

    Raises InputError, with the devices that are there, for one asked for by name that is not. A GPU's number, as
    the published commands give it, goes to the CPU where there is no GPU at all.
    """
    if machine.gpu_id is not None and machine.gpu not in (None, machine.gpu_id):
        raise InputError(f"--gpu-id {machine.gpu_id} and --gpu {machine.gpu} are one option; give it once")
    number = machine.gpu_id if machine.gpu_id is not None else machine.gpu
    if machine.device is not None and number is not None:
        raise InputError("give either --device or --gpu-id, not both")
    available = available_devices()
    name = machine.device or "auto"
    if number is not None:
        if len(available) == 1:
            return "cpu", f"there is no GPU here: --gpu-id {number} runs on the CPU"
        name = f"cuda:{number}"
    if name == "auto":
        return (available[1] if len(available) > 1 else "cpu"), None
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in available:
        raise InputError(f"device {name!r} is not there; available: {', '.join(available)}")
    return wanted, None


def resolve_precision(name: str, device: str) -> Precision:
    """`auto` is bf16 on a CUDA device that computes it natively, float32 elsewhere."""
    if name == "auto":
        return "bf16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "float32"
    return "bf16" if name == "bf16" else "float32"


def described(device: str) -> dict[str, Any]:
    """The device, for the manifest."""
    entry: dict[str, Any] = {"name": device, "threads": torch.get_num_threads()}
    if device.startswith("cuda"):
        entry["model"] = torch.cuda.get_device_name(device)
    return entry


@contextmanager
def arithmetic(threads: int | None, precision: Precision) -> Iterator[None]:
    """So many threads, and in float32 no TensorFloat-32, which CUDA's convolutions take by default; then as
    before."""
    keep_freed()
    before = torch.get_num_threads(), torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        if precision == "float32":
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before[1:]


@functools.cache
def keep_freed() -> None:
    """Have glibc keep what is freed, until `give_back_freed`.

    By itself it maps every large tensor anew, and the system clears its pages each time. What is very large still
    is, so that it leaves no gap. All threads take from one heap: what they keep on their own is never given back.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            library = ctypes.CDLL(None)
            for parameter, value in ((_TRIM_THRESHOLD, 1 << 30), (_MMAP_THRESHOLD, 1 << 25), (_ARENA_MAX, 1)):
                library.mallopt(parameter, value)


def give_back_freed() -> None:
    """Give back to the system what the C library keeps of what was freed; under glibc it is asked for it."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)


def free_caches(device: str) -> None:
    """Give back to the system, or to the card, what is held without need; garbage is looked for first."""
    gc.collect()
    give_back_freed()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
