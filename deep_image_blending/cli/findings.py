"""What a blend needs on this machine, what was found of it, and the remedy for what is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from deep_image_blending.cli.terminal import protocol_of
from deep_image_blending.errors import BlendError
from deep_image_blending.files import sha256_of
from deep_image_blending.pictures.demo import demos

DISTRIBUTION = "deep-image-blending"
PRETRAINED = ("vgg16", "vgg19", "resnet50")
REINSTALL = f"pip install --force-reinstall {DISTRIBUTION}"
SPACE = 1.0
"""GiB of free disk below which runs are likely to end early."""


@dataclass(frozen=True)
class Finding:
    """name: what was looked for. remedy: what to do where it is not fine; empty where it is."""

    name: str
    found: str
    remedy: str = ""

    @property
    def fine(self) -> bool:
        return not self.remedy


def findings() -> list[Finding]:
    """All that was looked for, in the order of reading. Nothing is downloaded or changed, and nothing raised.

    Pretrained weights that are not in the cache are fine where they can be fetched into it: the embedded backbone
    needs none.
    """
    found = [
        Finding("Python", f"{platform.python_version()} on {platform.platform()}"),
        *(_package(name) for name in (DISTRIBUTION, *_required())),
    ]
    if any(one.name in ("torch", "torchvision") and not one.fine for one in found):
        return [*found, _disk(), _ffmpeg(), _demo(), _terminal()]
    return [
        *found,
        _bytecode(),
        *_devices(),
        _checked("threads", _threads, REINSTALL),
        _checked("embedded weights", _embedded, REINSTALL),
        *(_pretrained(name) for name in PRETRAINED),
        _cache(),
        _disk(),
        _ffmpeg(),
        _demo(),
        _terminal(),
    ]


def _required() -> list[str]:
    """The packages that the installed package names as its dependencies, without those of extras."""
    try:
        stated = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return ["torch", "torchvision"]
    return [match[0] for one in stated if "extra ==" not in one and (match := re.match(r"[\w.-]+", one))]


def _package(name: str) -> Finding:
    try:
        return Finding(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, "missing", f"pip install {name}")


def _bytecode() -> Finding:
    """Where none is kept, runs start a second or two later: it is fine, but worth a word."""
    origin = importlib.util.find_spec("torch")
    source = "" if origin is None else origin.origin or ""
    if not source.endswith(".py") or Path(importlib.util.cache_from_source(source)).is_file():
        return Finding("bytecode", "PyTorch's is kept")
    once = shlex.join([sys.executable, "-m", "compileall", "-q", str(Path(source).parent)])
    return Finding(
        "bytecode",
        f"none of PyTorch's is kept, and every start compiles its sources; to have it, run once: {once}",
    )


def _devices() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("torch", f"can't be imported: {error}", "pip install --force-reinstall torch")
        return
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        memory = found.total_memory / 2**30
        precision = "bf16" if torch.cuda.is_bf16_supported() else "float32"
        yield Finding(f"cuda:{index}", f"{found.name}, {memory:.0f} GiB, {precision}")
    if torch.backends.mps.is_available():
        yield Finding("mps", "Apple GPU, float32")
    if torch.version.cuda is not None and torch.cuda.device_count() == 0:
        yield Finding("cuda", "no device found; runs use the CPU")
    yield Finding("cpu", f"{platform.processor() or platform.machine()}, float32")


def _threads() -> str:
    import torch

    return f"{torch.get_num_threads()} on {os.cpu_count()} cores; --threads changes it"


def _embedded() -> str:
    from deep_image_blending.networks import embedded

    path = embedded.WEIGHTS
    return f"{len(embedded.load(path))} tensors, {path.stat().st_size / 2**20:.1f} MiB, hash as shipped"


def _pretrained(name: str) -> Finding:
    """torchvision names a weights file by the beginning of its SHA-256: `vgg16-397923af.pth`."""
    from deep_image_blending.networks import backbones

    label = f"{name} weights"
    path = backbones.cached_weights(name)
    if path is None:
        return Finding(label, f"not cached; fetched at the first use of --backbone {name}, or --weights FILE")
    try:
        whole = sha256_of(path).startswith(path.stem.rpartition("-")[2])
    except OSError as error:
        return Finding(label, f"'{path}' can't be read ({error.strerror})", "make it readable, or delete it")
    if not whole:
        return Finding(label, f"'{path}' is damaged (SHA-256)", "delete it, and it is fetched again")
    return Finding(label, str(path))


def _cache() -> Finding:
    """Whether weights can be written where torch caches them; nothing is left there."""
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            return Finding("weights cache", f"{folder}, can be written")
    except OSError as error:
        remedy = "set TORCH_HOME to a folder that can be written, or give --weights FILE"
        return Finding("weights cache", f"{folder} can't be written ({error.strerror})", remedy)


def _disk() -> Finding:
    free = shutil.disk_usage(".").free / 2**30
    remedy = "" if free >= SPACE else "free some, or give --output-dir on another disk"
    return Finding("disk", f"{free:.1f} GiB free here", remedy)


def _ffmpeg() -> Finding:
    def version() -> str:
        import imageio_ffmpeg as ffmpeg

        path = ffmpeg.get_ffmpeg_exe()  # type: ignore[attr-defined, no-untyped-call]
        encoders = subprocess.run([path, "-hide_banner", "-encoders"], capture_output=True, text=True, timeout=30)
        if "libx264" not in encoders.stdout:
            raise RuntimeError(f"'{path}' has no libx264")
        return f"{ffmpeg.get_ffmpeg_version()}, {path}"  # type: ignore[attr-defined, no-untyped-call]

    return _checked("ffmpeg", version, "pip install imageio-ffmpeg; without it there is no mp4, only gif and webp")


def _demo() -> Finding:
    return _checked("demo pictures", lambda: ", ".join(demo.name for demo in demos()), REINSTALL)


def _terminal() -> Finding:
    return Finding("pictures here", protocol_of(os.environ) or "this terminal shows none; previews are files")


def _checked(name: str, find: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(name, find())
    except (BlendError, RuntimeError, ImportError, OSError, subprocess.SubprocessError) as error:
        return Finding(name, str(error), remedy)
