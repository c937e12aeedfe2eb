"""torchvision's classifiers as lists of layers, traced from its own modules.

The module is built of shapes alone, on the meta device; `torch.fx` records its forward pass, and every call
becomes a layer or a part of one: batch normalisation and ReLU belong to the convolution that they follow. The end
that turns features into classes is left out.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.overrides import TorchFunctionMode

from deep_image_blending.networks.network import IMAGENET, Layer, Network, require_taps

_ADDITIONS = (operator.add, operator.iadd, torch.add)
_CONCATENATIONS = (torch.cat, torch.concat)
_CLASSIFIER = ("avgpool", "classifier", "fc")
"""torchvision's names for what follows the features."""
_POOLED = (torch.flatten, torch.mean, F.adaptive_avg_pool2d, "flatten", "mean")


class Untraceable(Exception):
    """A network that is more than convolutions, batch norm, ReLU, pooling, sums and concatenations; says where."""


@dataclass(frozen=True)
class Convolution:
    """Where a state dict holds a convolution, and the batch normalisation that is folded into it.

    key: prefix of its weight (C, C_in / groups, k, k) of `shape` and, where `bias`, of its bias (C,).
    norm: prefix of the batch normalisation, or None; eps: what it adds to the variance.
    """

    key: str
    shape: tuple[int, ...]
    bias: bool
    norm: str | None = None
    eps: float = 0.0


@dataclass(frozen=True)
class Step:
    """One layer of a trace; the name of its output is the traced call's.

    closes: paths of the modules whose output this is, the outermost first (`layer1`, `layer1.2`).
    """

    layer: Layer
    convolution: Convolution | None = None
    closes: tuple[str, ...] = ()


Naming = Callable[[Sequence[Step]], Iterable[str | None]]


def skeleton(name: str, naming: Naming, taps: frozenset[str]) -> tuple[Network, dict[str, Convolution]]:
    """A classifier of torchvision up to the deepest of `taps`, of shapes alone, and where its weights are found.

    naming: gives every step of the trace its name, or None where it is no tap.
    Raises InputError where there is no such tap, Untraceable where the classifier can't be described.
    """
    steps = trace(classifier(name))
    names = {"image": "image"}
    for step, tap in zip(steps, naming(steps), strict=True):
        names[step.layer.output] = tap if tap is not None else f".{step.layer.output}"
    layers, convolutions = [], {}
    for step in steps:
        output = names[step.layer.output]
        layers.append(replace(step.layer, output=output, inputs=tuple(names[one] for one in step.layer.inputs)))
        if step.convolution is not None:
            convolutions[output] = step.convolution
    parameters = {
        output: (torch.empty(where.shape, device="meta"), torch.empty(where.shape[0], device="meta"))
        for output, where in convolutions.items()
    }
    whole = Network(name, tuple(layers), parameters, IMAGENET)
    require_taps(whole, taps)
    network = whole.truncated(taps)
    return network, {output: convolutions[output] for output in network.parameters}


def obstacle(name: str) -> str | None:
    """Why a classifier of torchvision is no backbone, in a few words; None where torchvision has no such name."""
    from torchvision import models

    if name not in models.list_models(module=models):
        return None
    try:
        trace(classifier(name))
    except Untraceable as error:
        return str(error)
    return "nobody has declared it"


def classifier(name: str) -> nn.Module:
    """torchvision's module for `name`, in evaluation mode, its weights of shapes alone."""
    from torchvision import models

    with warnings.catch_warnings(), _Shapes():
        # Some announce that their initialisation will change, which is no matter here.
        warnings.simplefilter("ignore", FutureWarning)
        model: nn.Module = models.get_model(name, weights=None)
    return model.eval()


class _Shapes(TorchFunctionMode):
    """Parameters and statistics of shapes alone; other tensors, such as RegNet reckons with, have values."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        held = {"device": "meta"} if func in (torch.empty, torch.zeros, torch.ones) else {}
        return func(*args, **{**(kwargs or {}), **held})


def trace(model: nn.Module) -> tuple[Step, ...]:
    """The layers of a classifier in the order of its forward pass, without its end. Raises Untraceable."""
    if hasattr(model, "transform_input"):
        raise Untraceable("it transforms its input in a way of its own")
    try:
        graph = fx.Tracer().trace(model)
    except Exception as error:
        # Whatever a forward pass does with values that it has not: branches, shapes, loops.
        raise Untraceable("its forward pass depends on what it is given") from error
    recorder = _Recorder(model)
    for node in graph.nodes:
        recorder.record(node)
    return recorder.steps()


@dataclass
class _Recorder:
    """What has been traced so far.

    held: by call, the output of the step that its value belongs to. last: by module, the step that it ended with.
    end: the calls that turn features into classes.
    """

    model: nn.Module
    traced: dict[str, Step] = field(default_factory=dict)
    held: dict[fx.Node, str] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    end: set[fx.Node] = field(default_factory=set)

    def steps(self) -> tuple[Step, ...]:
        closes: dict[str, list[str]] = {output: [] for output in self.traced}
        for path in sorted(self.last, key=lambda path: path.count(".")):
            closes[self.last[path]].append(path)
        return tuple(replace(step, closes=tuple(closes[output])) for output, step in self.traced.items())

    def record(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self.held[node] = "image"
        elif node.op == "output" or self._is_the_end(node):
            self.end.add(node)
        else:
            self.held[node] = self._output_of(node)
            for path in self._blocks(node):
                self.last[path] = self.held[node]

    def _is_the_end(self, node: fx.Node) -> bool:
        if any(one in self.end for one in node.all_input_nodes):
            return True
        if node.op == "call_module":
            return str(node.target).split(".")[0] in _CLASSIFIER
        return node.target in _POOLED and not self._blocks(node)

    def _blocks(self, node: fx.Node) -> list[str]:
        """Paths of the modules in whose forward pass the call stands."""
        paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
        return paths[:-1] if node.op == "call_module" else paths

    def _output_of(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return self._module(node, self.model.get_submodule(str(node.target)))
        if node.op == "call_function" and node.target in _ADDITIONS:
            if len(node.all_input_nodes) == 2 and not node.kwargs:
                return self._step(node, Layer("add", node.name, self._inputs(node)))
        elif node.op == "call_function" and node.target in _CONCATENATIONS:
            parts = node.args[0] if node.args else ()
            along = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
            if along == 1 and isinstance(parts, list | tuple) and len(parts) == len(node.all_input_nodes):
                return self._step(node, Layer("concat", node.name, self._inputs(node)))
        elif node.op == "call_function" and node.target is F.relu:
            return self._rectified(node)
        called = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target)
        raise Untraceable(f"it calls '{called}'")

    def _module(self, node: fx.Node, module: nn.Module) -> str:
        if isinstance(module, nn.Conv2d):
            return self._convolution(node, module)
        if isinstance(module, nn.BatchNorm2d):
            return self._normalised(node, module)
        if isinstance(module, nn.ReLU):
            return self._rectified(node)
        if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
            return self._pooled(node, module)
        if isinstance(module, nn.Dropout | nn.Identity):
            return self.held[node.all_input_nodes[0]]
        raise Untraceable(f"it contains {type(module).__name__}, '{node.target}'")

    def _convolution(self, node: fx.Node, module: nn.Conv2d) -> str:
        if module.padding_mode != "zeros" or _side(node, module.dilation) != 1:
            raise Untraceable(f"its convolution '{node.target}' is dilated or padded by other than zeros")
        layer = Layer(
            "conv",
            node.name,
            self._inputs(node),
            kernel=_side(node, module.kernel_size),
            stride=_side(node, module.stride),
            padding=_side(node, module.padding),
            groups=module.groups,
        )
        return self._step(
            node, layer, Convolution(str(node.target), tuple(module.weight.shape), module.bias is not None)
        )

    def _normalised(self, node: fx.Node, module: nn.BatchNorm2d) -> str:
        step = self._unfinished(node)
        where = None if step is None else step.convolution
        if step is None or where is None or where.norm is not None:
            raise Untraceable(f"its batch normalisation '{node.target}' follows no convolution")
        if not (module.affine and module.track_running_stats):
            raise Untraceable(f"its batch normalisation '{node.target}' keeps no statistics")
        output = step.layer.output
        self.traced[output] = replace(step, convolution=replace(where, norm=str(node.target), eps=module.eps))
        return output

    def _rectified(self, node: fx.Node) -> str:
        step = self._unfinished(node)
        if step is None:
            raise Untraceable(f"its ReLU '{node.name}' follows neither a convolution nor a sum")
        self.traced[step.layer.output] = replace(step, layer=replace(step.layer, relu=True))
        return step.layer.output

    def _unfinished(self, node: fx.Node) -> Step | None:
        """The convolution or sum whose value the call reads, where it alone does and it is not rectified yet."""
        value = node.all_input_nodes[0]
        step = self.traced.get(self.held[value])
        if step is None or step.layer.kind not in ("conv", "add") or step.layer.relu or len(value.users) > 1:
            return None
        return step

    def _pooled(self, node: fx.Node, module: nn.MaxPool2d | nn.AvgPool2d) -> str:
        padding = _side(node, module.padding)
        if isinstance(module, nn.MaxPool2d):
            plain = _side(node, module.dilation) == 1 and not module.return_indices
        else:
            plain = padding == 0 and not module.ceil_mode and module.divisor_override is None
        if not plain:
            raise Untraceable(f"its pooling '{node.target}' is padded, dilated or divided in a way of its own")
        layer = Layer(
            "max" if isinstance(module, nn.MaxPool2d) else "avg",
            node.name,
            self._inputs(node),
            kernel=_side(node, module.kernel_size),
            stride=_side(node, module.stride),
            padding=padding,
            ceil=module.ceil_mode,
        )
        return self._step(node, layer)

    def _inputs(self, node: fx.Node) -> tuple[str, ...]:
        return tuple(self.held[one] for one in node.all_input_nodes)

    def _step(self, node: fx.Node, layer: Layer, convolution: Convolution | None = None) -> str:
        self.traced[node.name] = Step(layer, convolution)
        return node.name


def _side(node: fx.Node, value: Any) -> int:
    """A number that holds for rows and columns alike."""
    sides = set(value) if isinstance(value, tuple | list) else {value}
    (side, *others) = sides
    if others or not isinstance(side, int):
        raise Untraceable(f"'{node.target}' is not square")
    return side
