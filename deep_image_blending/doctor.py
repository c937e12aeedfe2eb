"""What a blend needs on this machine, what was found of it, and the remedy for what is missing."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from deep_image_blending import backbones, embedded
from deep_image_blending.demo import demos
from deep_image_blending.errors import BlendError
from deep_image_blending.files import sha256_of

PACKAGES = ("deep-image-blending", "torch", "torchvision", "numpy", "scipy", "scikit-image", "pillow")
PRETRAINED = ("vgg16", "vgg19", "resnet50")

Finding = tuple[str, str, bool]


def findings() -> list[Finding]:
    """(name, what was found, fine or not), in the order of reading. Nothing is downloaded or changed.

    Pretrained weights that are not in the cache are fine where they can be fetched into it: the embedded backbone
    needs none. What is not fine says its remedy.
    """
    return [
        ("Python", platform.python_version(), True),
        *(_package(name) for name in PACKAGES),
        *_devices(),
        ("threads", _threads(), True),
        _embedded(),
        *(_pretrained(name) for name in PRETRAINED),
        _cache(),
        _ffmpeg(),
        _demo(),
    ]


def _package(name: str) -> Finding:
    try:
        return name, metadata.version(name), True
    except metadata.PackageNotFoundError:
        return name, f"missing; pip install {name}", False


def _devices() -> Iterator[Finding]:
    import torch

    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        memory = found.total_memory / 2**30
        precision = "bf16" if torch.cuda.is_bf16_supported() else "float32"
        yield f"cuda:{index}", f"{found.name}, {memory:.0f} GiB, {precision}", True
    if torch.backends.mps.is_available():
        yield "mps", "Apple GPU, float32", True
    if torch.version.cuda is not None and torch.cuda.device_count() == 0:
        yield "cuda", "no device found; runs use the CPU", True
    yield "cpu", platform.processor() or platform.machine(), True


def _threads() -> str:
    import torch

    return f"{torch.get_num_threads()} of {os.cpu_count()} cores; --threads changes it"


def _embedded() -> Finding:
    return _checked(
        "embedded weights",
        lambda: (
            f"{len(embedded.load())} tensors, {embedded.WEIGHTS.stat().st_size / 2**20:.1f} MiB, hash as shipped"
        ),
    )


def _pretrained(name: str) -> Finding:
    """torchvision names a weights file by the beginning of its SHA-256: `vgg16-397923af.pth`."""
    path = backbones.cached_weights(name)
    if path is None:
        return (
            f"{name} weights",
            f"not cached; fetched at the first use of --backbone {name}, or --weights FILE",
            True,
        )
    expected = path.stem.rpartition("-")[2]
    if not sha256_of(path).startswith(expected):
        return f"{name} weights", f"'{path}' is damaged (SHA-256); delete it, and it is fetched again", False
    return f"{name} weights", f"{path}", True


def _cache() -> Finding:
    """Whether weights can be written where torch caches them; nothing is left there."""
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    remedy = "set TORCH_HOME to a folder that can be written, or give --weights FILE"
    try:
        with tempfile.TemporaryFile(dir=existing):
            return "weights cache", f"{folder}, can be written", True
    except OSError as error:
        return "weights cache", f"{folder} can't be written ({error.strerror}); {remedy}", False


def _ffmpeg() -> Finding:
    def version() -> str:
        import imageio_ffmpeg as ffmpeg

        path = ffmpeg.get_ffmpeg_exe()  # type: ignore[attr-defined, no-untyped-call]
        return f"{path}, {ffmpeg.get_ffmpeg_version()}"  # type: ignore[attr-defined, no-untyped-call]

    return _checked("ffmpeg", version, "pip install imageio-ffmpeg; without it there is no mp4, only gif and webp")


def _demo() -> Finding:
    return _checked("demo pictures", lambda: ", ".join(demo.name for demo in demos()))


def _checked(name: str, find: Callable[[], str], remedy: str = "") -> Finding:
    try:
        return name, find(), True
    except (BlendError, RuntimeError, ImportError, OSError) as error:
        return name, f"{error}{remedy and '; '}{remedy}", False
