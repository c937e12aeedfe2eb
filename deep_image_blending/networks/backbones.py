"""The named feature networks: their layers, their weights, and where the weights come from."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from deep_image_blending.errors import InputError, suggestion
from deep_image_blending.files import sha256_of
from deep_image_blending.networks import embedded
from deep_image_blending.networks.network import IMAGENET, Layer, Network, Normalisation

BACKBONES = ("vgg16", "vgg19", "resnet50", "embedded", "random")

_VGG_DEPTHS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_RESNET_DEPTHS = (3, 4, 6, 3)
_STATISTICS = ("weight", "bias", "running_mean", "running_var")
# torchvision's `IMAGENET1K_V1`; asking it takes seconds of imports.
_URLS = {
    "vgg16": "https://download.pytorch.org/models/vgg16-397923af.pth",
    "vgg19": "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    "resnet50": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
}

Download = Callable[[str, Path], None]


@dataclass(frozen=True)
class Backbone:
    """A network, where its weights came from, and their SHA-256."""

    network: Network
    source: str
    sha256: str


def default_taps(name: str) -> tuple[tuple[str, ...], str]:
    """The style layers and the content layer of a backbone when none are asked for."""
    if name == "resnet50":
        return ("stem", "layer1", "layer2", "layer3", "layer4"), "layer1"
    return ("relu1_2", "relu2_2", "relu3_3"), "relu2_2"


def load_backbone(
    name: str,
    taps: frozenset[str] | set[str],
    *,
    weights: Path | None = None,
    download: Download | None = None,
    planning: bool = False,
) -> Backbone:
    """The backbone `name`, truncated at the deepest of `taps`, on the CPU in float32.

    weights: a state dict in torchvision's naming (`.safetensors`, or `.pth` with tensors only) in place of
        torchvision's pretrained one; layers beyond the deepest tap may be absent.
    download: called with (url, destination) where torchvision's weights are not in its cache.
    planning: then zeros of their shape do, and nothing is downloaded.

    Raises InputError for an unknown backbone or layer, and for weights that can't be had or don't fit.
    """
    if name not in BACKBONES:
        raise InputError(f"unknown backbone {name!r}; {suggestion(name, BACKBONES)}")
    if name in ("embedded", "random"):
        if weights is not None:
            raise InputError(f"--weights {str(weights)!r} does not go with backbone {name}, which brings its own")
        return _embedded(taps) if name == "embedded" else _random(taps)
    if name == "resnet50":
        layers, convolutions, normalised = _resnet_layers(), _resnet_names(), True
    else:
        layers, convolutions, normalised = _vgg_layers(name), _vgg_names(name), False
    known = [layer.output for layer in layers if not layer.output.startswith(".")]
    for tap in taps:
        if tap not in known:
            raise InputError(f"backbone {name} has no layer {tap!r}; it has {', '.join(known)}")
    blank = planning and weights is None and cached_weights(name) is None
    path = weights if weights is not None else Path("to be downloaded") if blank else _pretrained(name, download)
    state = _zeros(layers, convolutions) if blank else read_state_dict(path)
    skeleton = Network(name, layers, {out: (torch.empty(0),) * 2 for out in convolutions}, IMAGENET).truncated(
        taps
    )
    parameters = {}
    channels = {"image": 3}
    for layer in skeleton.layers:
        if layer.kind == "conv":
            fold = _batch_normalised if normalised else _plain
            weight, bias = fold(state, *convolutions[layer.output], path=path, backbone=name)
            expected = (channels[layer.inputs[0]], layer.kernel)
            if weight.ndim != 4 or (weight.shape[1], weight.shape[2]) != expected:
                key = convolutions[layer.output][0]
                raise InputError(
                    f"weights '{path}' are not {name}'s: {key}.weight has shape {tuple(weight.shape)}, "
                    f"expected (C, {expected[0]}, {layer.kernel}, {layer.kernel})"
                )
            parameters[layer.output] = (weight, bias)
            channels[layer.output] = weight.shape[0]
        else:
            channels[layer.output] = channels[layer.inputs[0]]
    network = Network(name, skeleton.layers, parameters, IMAGENET)
    return Backbone(network, str(path), "" if blank else sha256_of(path))


def with_normalisation(network: Network, normalisation: Normalisation) -> Network:
    """The same network with another input normalisation."""
    return Network(network.name, network.layers, network.parameters, normalisation, network.heads)


def cached_weights(name: str) -> Path | None:
    """The file in torchvision's cache that holds the pretrained weights, or None where there is none."""
    path = _cache_path(_URLS[name])
    return path if path.is_file() else None


def read_state_dict(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a `.safetensors` or a tensors-only `.pth` file. Nothing else is ever unpickled."""
    if path.is_dir():
        raise InputError(f"weights '{path}' is a folder; give a .safetensors or .pth file")
    if not path.is_file():
        raise InputError(f"weights file '{path}' does not exist; give a .safetensors or .pth file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"weights file '{path}' holds more than tensors or is damaged, and was not loaded; "
            "save a plain state dict, best as .safetensors"
        ) from error
    except PermissionError as error:
        raise InputError(f"weights file '{path}' can't be read: permission denied") from error
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"weights file '{path}' is damaged or not a state dict ({reason[:80]})") from error
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise InputError(f"weights file '{path}' is not a state dict of tensors in torchvision's naming")
    return state


def _vgg_layers(name: str) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    last = "image"
    for block, depth in enumerate(_VGG_DEPTHS[name], 1):
        for i in range(1, depth + 1):
            layers.append(Layer("conv", f"relu{block}_{i}", (last,), kernel=3, padding=1, relu=True))
            last = f"relu{block}_{i}"
        layers.append(Layer("max", f"pool{block}", (last,), kernel=2, stride=2))
        last = f"pool{block}"
    return tuple(layers)


def _vgg_names(name: str) -> dict[str, tuple[str, ...]]:
    """Where torchvision's state dict holds each convolution: `features.N`."""
    names: dict[str, tuple[str, ...]] = {}
    index = 0
    for block, depth in enumerate(_VGG_DEPTHS[name], 1):
        for i in range(1, depth + 1):
            names[f"relu{block}_{i}"] = (f"features.{index}",)
            index += 2
        index += 1
    return names


def _resnet_layers() -> tuple[Layer, ...]:
    """ResNet-50 as torchvision builds it (stride in the 3x3 convolution). Hidden activations begin with a dot."""
    layers = [
        Layer("conv", "stem", ("image",), kernel=7, stride=2, padding=3, relu=True),
        Layer("max", ".pool", ("stem",), kernel=3, stride=2, padding=1),
    ]
    last = ".pool"
    for stage, depth in enumerate(_RESNET_DEPTHS, 1):
        for block in range(depth):
            stride = 2 if block == 0 and stage > 1 else 1
            at = f".{stage}.{block}"
            out = f"layer{stage}" if block == depth - 1 else f"{at}.out"
            layers += [
                Layer("conv", f"{at}.1", (last,), relu=True),
                Layer("conv", f"{at}.2", (f"{at}.1",), kernel=3, stride=stride, padding=1, relu=True),
                Layer("conv", f"{at}.3", (f"{at}.2",)),
            ]
            shortcut = last
            if block == 0:
                shortcut = f"{at}.down"
                layers.append(Layer("conv", shortcut, (last,), stride=stride))
            layers.append(Layer("add", out, (f"{at}.3", shortcut), relu=True))
            last = out
    return tuple(layers)


def _resnet_names() -> dict[str, tuple[str, ...]]:
    names: dict[str, tuple[str, ...]] = {"stem": ("conv1", "bn1")}
    for stage, depth in enumerate(_RESNET_DEPTHS, 1):
        for block in range(depth):
            at = f"layer{stage}.{block}"
            for i in (1, 2, 3):
                names[f".{stage}.{block}.{i}"] = (f"{at}.conv{i}", f"{at}.bn{i}")
            if block == 0:
                names[f".{stage}.{block}.down"] = (f"{at}.downsample.0", f"{at}.downsample.1")
    return names


def _tensor(state: Mapping[str, Tensor], key: str, path: Path, backbone: str) -> Tensor:
    if key not in state:
        raise InputError(
            f"weights '{path}' have no {key}, which {backbone} needs up to the deepest layer asked for; "
            "give the file that belongs to this backbone, or fewer layers"
        )
    return state[key].float()


def _plain(state: Mapping[str, Tensor], conv: str, *, path: Path, backbone: str) -> tuple[Tensor, Tensor]:
    return _tensor(state, f"{conv}.weight", path, backbone), _tensor(state, f"{conv}.bias", path, backbone)


def _batch_normalised(
    state: Mapping[str, Tensor], conv: str, norm: str, *, path: Path, backbone: str
) -> tuple[Tensor, Tensor]:
    """A convolution with its batch normalisation (evaluation mode, eps 1e-5) folded in."""
    weight = _tensor(state, f"{conv}.weight", path, backbone).double()
    gamma, beta, mean, variance = (_tensor(state, f"{norm}.{key}", path, backbone).double() for key in _STATISTICS)
    scale = gamma / torch.sqrt(variance + 1e-5)
    return (weight * scale.view(-1, 1, 1, 1)).float(), (beta - mean * scale).float()


def _embedded_layers() -> tuple[Layer, ...]:
    layers: list[Layer] = []
    last = "image"
    for stage, (tap, outputs) in enumerate(_embedded_outputs().items(), 1):
        for output in outputs:
            layers.append(Layer("conv", output, (last,), kernel=3, padding=1, relu=True))
            last = output
        if stage < len(embedded.TAPS):
            last = f".{stage}.pool"
            layers.append(Layer(embedded.POOL, last, (tap,), kernel=2, stride=2))
    return tuple(layers)


def _embedded_outputs() -> dict[str, list[str]]:
    """The activations of each stage's convolutions, the last of which is the stage's tap."""
    stages = enumerate(zip(embedded.TAPS, embedded.DEPTHS, strict=True), 1)
    return {tap: [*(f".{stage}.{i}" for i in range(1, depth)), tap] for stage, (tap, depth) in stages}


def _embedded(taps: frozenset[str] | set[str]) -> Backbone:
    state = embedded.load()
    parameters, heads = {}, {}
    for stage, (tap, outputs) in enumerate(_embedded_outputs().items(), 1):
        for i, output in enumerate(outputs, 1):
            key = f"stage{stage}.conv{i}"
            parameters[output] = (state[f"{key}.weight"], state[f"{key}.bias"])
        heads[tap] = (state[f"head{stage}.weight"], state[f"head{stage}.bias"])
    network = _checked_embedded("embedded", parameters, heads, taps)
    return Backbone(network, "shipped with the package", embedded.SHA256)


def _random(taps: frozenset[str] | set[str]) -> Backbone:
    """The embedded architecture with orthogonal random filters of a fixed seed (Ustyuzhaninov et al., 2017)."""
    generator = torch.Generator().manual_seed(20170)
    parameters, digest = {}, hashlib.sha256()
    inputs = 3
    for outputs, width in zip(_embedded_outputs().values(), embedded.CHANNELS, strict=True):
        for output in outputs:
            weight = torch.empty(width, inputs, 3, 3)
            torch.nn.init.orthogonal_(weight, gain=2**0.5, generator=generator)
            parameters[output] = (weight, torch.zeros(width))
            digest.update(weight.numpy().tobytes())
            inputs = width
    network = _checked_embedded("random", parameters, {}, taps)
    return Backbone(network, "fixed-seed random filters", digest.hexdigest())


def _checked_embedded(
    name: str, parameters: dict[str, Any], heads: dict[str, Any], taps: frozenset[str] | set[str]
) -> Network:
    from deep_image_blending.networks.network import Head
    from deep_image_blending.networks.network import require_taps

    network = Network(
        name, _embedded_layers(), parameters, IMAGENET, {tap: Head(*pair) for tap, pair in heads.items()}
    )
    require_taps(network, taps)
    return network.truncated(taps)


def _zeros(layers: tuple[Layer, ...], convolutions: Mapping[str, tuple[str, ...]]) -> dict[str, Tensor]:
    """A state dict of torchvision's shapes, without its classifier's."""
    channels, state = {"image": 3}, {}
    for layer in layers:
        if layer.kind != "conv":
            channels[layer.output] = channels[layer.inputs[0]]
            continue
        key, *norms = convolutions[layer.output]
        width = channels[layer.output] = _width(layer.output)
        state[f"{key}.weight"] = torch.zeros(width, channels[layer.inputs[0]], layer.kernel, layer.kernel)
        if not norms:
            state[f"{key}.bias"] = torch.zeros(width)
        for norm in norms:
            state |= {f"{norm}.{part}": torch.zeros(width) for part in _STATISTICS}
    return state


def _width(output: str) -> int:
    """The channels of a convolution of VGG (`relu3_2`, twice as many after a pooling) or ResNet-50 (`.2.0.3`)."""
    if output.startswith("relu"):
        return min(512, 32 << int(output[4]))
    if output == "stem":
        return 64
    _, stage, _, part = output.split(".")
    return (256 if part in ("3", "down") else 64) << (int(stage) - 1)


def _cache_path(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def _pretrained(name: str, download: Download | None) -> Path:
    url = _URLS[name]
    path = _cache_path(url)
    if path.is_file():
        return path
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
