"""What a backbone declares of itself, and what loading one gives. Listing backbones imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deep_image_blending.errors import InputError
from deep_image_blending.files import sha256_of

if TYPE_CHECKING:
    from deep_image_blending.networks.network import Network
    from deep_image_blending.networks.tracing import Step

Download = Callable[[str, Path], None]
"""Fetches an address to a path, whole or not at all; raises OSError or RuntimeError."""


@dataclass(frozen=True)
class Backbone:
    """A network, where its weights came from, and their SHA-256 (empty where zeros stand for them)."""

    network: Network
    source: str
    sha256: str


@dataclass(frozen=True)
class Request:
    """What is asked of a backbone.

    taps: names of the activations that are wanted; what lies beyond the deepest is left out.
    weights: a state dict in torchvision's naming, in place of torchvision's pretrained one.
    download: called where torchvision's weights are not in its cache; None fetches nothing.
    planning: zeros do where weights are not at hand.
    """

    taps: frozenset[str]
    weights: Path | None = None
    download: Download | None = None
    planning: bool = False


@dataclass(frozen=True)
class Declaration(ABC):
    """One backbone.

    style, content: the taps that the losses read where none are asked for.
    help: what it is, in a few words, for whoever chooses one.
    """

    name: str
    style: tuple[str, ...]
    content: str
    help: str

    @abstractmethod
    def load(self, request: Request) -> Backbone:
        """The network up to the deepest tap, on the CPU in float32; raises InputError where it can't be had."""


@dataclass(frozen=True)
class Shipped(Declaration):
    """A backbone that needs no file: `build` makes all of it."""

    build: Callable[[], Backbone]

    def load(self, request: Request) -> Backbone:
        from deep_image_blending.networks.network import require_taps

        if request.weights is not None:
            raise InputError(
                f"--weights '{request.weights}' does not go with backbone {self.name}, which brings its own"
            )
        whole = self.build()
        require_taps(whole.network, request.taps)
        return Backbone(whole.network.truncated(request.taps), whole.source, whole.sha256)


@dataclass(frozen=True)
class Pretrained(Declaration):
    """A classifier of torchvision, by torchvision's name.

    taps: names the steps of its trace, in order; None for a step that is no tap.
    """

    taps: Callable[[Sequence[Step]], Iterable[str | None]]

    def load(self, request: Request) -> Backbone:
        from deep_image_blending.networks import tracing, weights

        network, convolutions = tracing.skeleton(self.name, self.taps, request.taps)
        path = request.weights or weights.cached(self.name)
        if path is None and request.planning:
            blank = {output: weights.zeros(where) for output, where in convolutions.items()}
            return Backbone(network.with_parameters(blank), "to be downloaded", "")
        if path is None:
            path = weights.downloaded(self.name, request.download)
        state = weights.State(weights.read_state_dict(path), path, self.name)
        parameters = {output: state.folded(where) for output, where in convolutions.items()}
        return Backbone(network.with_parameters(parameters), str(path), sha256_of(path))
