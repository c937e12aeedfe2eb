"""The backbones, each declared in a file here: a new file whose `DECLARATIONS` names one is all that it takes."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from deep_image_blending.errors import InputError, suggestion
from deep_image_blending.networks.backbone import Backbone, Declaration, Download, Pretrained, Request, Shipped
from deep_image_blending.networks.weights import read_state_dict

if TYPE_CHECKING:
    from deep_image_blending.networks.network import Network, Normalisation

__all__ = [
    "BACKBONES",
    "DECLARED",
    "Backbone",
    "Declaration",
    "Download",
    "cached_weights",
    "default_taps",
    "load_backbone",
    "read_state_dict",
    "require_backbone",
    "with_normalisation",
]


def _declarations() -> Iterator[Declaration]:
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda found: found.name):
        yield from importlib.import_module(f"{__name__}.{module.name}").DECLARATIONS


DECLARED: dict[str, Declaration] = {
    # Those that need no download come first.
    one.name: one
    for one in sorted(_declarations(), key=lambda one: not isinstance(one, Shipped))
}
BACKBONES = tuple(DECLARED)
"""The names of all backbones."""


def require_backbone(name: str) -> Declaration:
    """The declaration of `name`. Raises InputError for an unknown one, with the nearest name or all there are."""
    if name in DECLARED:
        return DECLARED[name]
    from deep_image_blending.networks.tracing import obstacle

    reason = obstacle(name)
    if reason is None:
        raise InputError(f"unknown backbone {name!r}; {suggestion(name, BACKBONES)}")
    raise InputError(f"torchvision's {name} can't be a backbone: {reason}; choose one of {', '.join(BACKBONES)}")


def default_taps(name: str) -> tuple[tuple[str, ...], str]:
    """The style layers and the content layer of a backbone when none are asked for.

    >>> default_taps("vgg19")
    (('relu1_2', 'relu2_2', 'relu3_3'), 'relu2_2')
    """
    declared = require_backbone(name)
    return declared.style, declared.content


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
    return require_backbone(name).load(Request(frozenset(taps), weights, download, planning))


def cached_weights(name: str) -> Path | None:
    """The file in torchvision's cache with the pretrained weights; None where there is none, or none is needed."""
    if not isinstance(require_backbone(name), Pretrained):
        return None
    from deep_image_blending.networks.weights import cached

    return cached(name)


def with_normalisation(network: Network, normalisation: Normalisation) -> Network:
    """The same network with another input normalisation."""
    return dataclasses.replace(network, normalisation=normalisation)
