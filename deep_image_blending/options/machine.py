"""How a run uses the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deep_image_blending.declaration import check, option
from deep_image_blending.options.groups import MACHINE, METHOD

Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class Machine:
    """What a run may take of the machine, as asked for. Raises InputError for a value out of its range."""

    weights: Path | None = option(
        None,
        "Local state dict for the backbone (.safetensors or .pth), where nothing can be downloaded.",
        METHOD,
        metavar="PATH",
        decides=False,
    )
    device: str | None = option(
        None,
        "auto, cpu, cuda, cuda:1, ... or mps.",
        MACHINE,
        metavar="NAME",
        common=True,
        decides=False,
    )
    gpu_id: int | None = option(
        None,
        "Number of the GPU; without a GPU the run goes on the CPU, and says so.",
        MACHINE,
        low=0,
        high=1023,
        decides=False,
    )
    gpu: int | None = option(
        None, "The same, as older scripts write it.", MACHINE, low=0, high=1023, decides=False
    )
    precision: Literal["auto", "float32", "bf16"] = option(
        "auto", "Numbers that features are computed in; auto: bf16 on GPUs that have it.", MACHINE, decides=False
    )
    threads: int | None = option(
        None, "Processor threads; default: all cores.", MACHINE, low=1, high=1024, decides=False
    )
    memory: Literal["auto", "full", "thrifty"] = option(
        "auto",
        "thrifty: less memory, more time, the same result; auto: thrifty if it would not fit.",
        MACHINE,
        decides=False,
    )
    max_memory: float | None = option(
        None,
        "Memory that the run may take, in GiB; default: what is free.",
        MACHINE,
        above=0,
        high=1e6,
        metavar="GIB",
        decides=False,
    )

    def __post_init__(self) -> None:
        check(self)
