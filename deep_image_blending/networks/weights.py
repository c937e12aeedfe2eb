"""Pretrained weights: reading a state dict that a stranger may have made, and torchvision's own, fetched once."""

from __future__ import annotations

import contextlib
import pickle
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from zipfile import BadZipFile, ZipFile, is_zipfile

from deep_image_blending.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from deep_image_blending.networks.backbone import Download
    from deep_image_blending.networks.tracing import Convolution


def read_state_dict(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a `.safetensors` or a tensors-only `.pth` file. Nothing else is ever unpickled.

    Raises InputError for what can't be read or is no state dict; the tensors themselves are not looked at.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.is_dir():
        raise InputError(f"weights '{path}' is a folder; give a .safetensors or .pth file")
    if not path.is_file():
        raise InputError(f"weights file '{path}' does not exist; give a .safetensors or .pth file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # PyTorch's notes on how a file was written mean nothing to whoever gives it.
        with warnings.catch_warnings(action="ignore"):
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
        _require_whole(path)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"weights file '{path}' holds more than tensors or is damaged, and was not loaded; "
            "save a plain state dict, best as .safetensors"
        ) from error
    except PermissionError as error:
        raise InputError(f"weights file '{path}' can't be read: permission denied") from error
    except (
        SafetensorError,
        BadZipFile,
        zlib.error,
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        IndexError,
    ) as error:
        raise InputError(
            f"weights file '{path}' is damaged or not a state dict; fetch it again, or give a .safetensors file"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise InputError(f"weights file '{path}' is not a state dict of tensors in torchvision's naming")
    return state


def _require_whole(path: Path) -> None:
    """Raise BadZipFile where a part of a zip archive has not its checksum: PyTorch doesn't look at them.

    A file of PyTorch's early format is no archive, and some archives are written without checksums.
    """
    if is_zipfile(path):
        with ZipFile(path) as archive:
            if any(part.CRC for part in archive.infolist()) and (damaged := archive.testzip()) is not None:
                raise BadZipFile(damaged)


def zeros(where: Convolution) -> tuple[Tensor, Tensor]:
    """A convolution of the right shapes, for whoever only counts."""
    import torch

    return torch.zeros(where.shape), torch.zeros(where.shape[0])


@dataclass(frozen=True)
class State:
    """A state dict, the file that it came from, and the backbone that it is for."""

    tensors: Mapping[str, Tensor]
    path: Path
    backbone: str

    def folded(self, where: Convolution) -> tuple[Tensor, Tensor]:
        """A convolution's weight (C, C_in / groups, k, k) and bias (C,), with its batch normalisation, in float32.

        With `s = γ / √(variance + eps)` the weight is `s w` and the bias `β + s (b - mean)`, reckoned in float64.
        Raises InputError for tensors that are absent, of other shapes, or not of finite numbers.
        """
        import torch

        width = (where.shape[0],)
        weight = self._tensor(f"{where.key}.weight", where.shape)
        if not bool(weight.any()):
            raise self._unfit(f"{where.key}.weight", "is all zeros")
        bias = self._tensor(f"{where.key}.bias", width) if where.bias else None
        if where.norm is None:
            return weight, torch.zeros(width) if bias is None else bias
        gamma, beta, mean, variance = (
            self._tensor(f"{where.norm}.{part}", width).double()
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        if bool((variance < 0).any()):
            raise self._unfit(f"{where.norm}.running_var", "has negative numbers")
        scale = gamma / torch.sqrt(variance + where.eps)
        mean = mean if bias is None else mean - bias.double()
        return (weight.double() * scale.view(-1, 1, 1, 1)).float(), (beta - mean * scale).float()

    def _tensor(self, key: str, shape: tuple[int, ...]) -> Tensor:
        """One tensor as float32, once it is known to be what it should be."""
        import torch

        if key not in self.tensors:
            raise InputError(
                f"weights '{self.path}' have no {key}, which {self.backbone} needs up to the deepest layer asked "
                "for; give the file that belongs to this backbone, or fewer layers"
            )
        tensor = self.tensors[key]
        if tensor.is_meta:
            raise self._unfit(key, "has a shape and no numbers (a meta tensor)")
        if tensor.is_quantized:
            raise self._unfit(key, "is quantised")
        if tensor.layout != torch.strided or tensor.is_nested:
            raise self._unfit(key, "is sparse")
        if tuple(tensor.shape) != shape:
            raise self._unfit(key, f"has shape {tuple(tensor.shape)}, expected {shape}")
        if not tensor.is_floating_point():
            raise self._unfit(key, f"is of {str(tensor.dtype).removeprefix('torch.')}, no floating point numbers")
        found = tensor.detach().float()
        if not bool(torch.isfinite(found).all()):
            raise self._unfit(key, "holds numbers that are not finite (NaN or infinity)")
        return found

    def _unfit(self, key: str, what: str) -> InputError:
        return InputError(
            f"weights '{self.path}' are not {self.backbone}'s: {key} {what}; "
            "give a plain state dict of floating point tensors in torchvision's naming"
        )


def address(name: str) -> str:
    """Where torchvision keeps the ImageNet weights of a classifier."""
    from torchvision import models

    return str(models.get_model_weights(name)["IMAGENET1K_V1"].url)


def cached(name: str) -> Path | None:
    """The file in torchvision's cache that holds a classifier's weights, or None where there is none."""
    path = _place(address(name))
    return path if path.is_file() else None


def downloaded(name: str, download: Download | None) -> Path:
    """Fetch a classifier's weights into torchvision's cache. Raises InputError where they can't be had."""
    url = address(name)
    path = _place(url)
    remedy = (
        f"give a local file with --weights, or use --backbone embedded, which needs none (wanted: {path.name})"
    )
    if download is None:
        raise InputError(f"the pretrained weights of {name} are not in the cache; {remedy}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        download(url, path)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise InputError(f"the pretrained weights of {name} can't be downloaded ({error}); {remedy}") from error
    return path


def _place(url: str) -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
