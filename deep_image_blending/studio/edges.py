"""The edge-following lasso: paths along a picture's edges, whose costs stay at hand for the next path."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from deep_image_blending.errors import InputError
from deep_image_blending.pictures import Float
from deep_image_blending.pictures.cutting.scissors import LiveWire, edge_costs
from deep_image_blending.studio.pictures import PictureStore

_costs: OrderedDict[str, Float] = OrderedDict()
_wires: OrderedDict[tuple[str, int, int], LiveWire] = OrderedDict()
_lock = threading.Lock()
_KEPT_COSTS, _KEPT_WIRES = 2, 4


def path_along_edges(store: PictureStore, key: str, asked: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Rows and columns from `seed` to `to`, both included. Raises InputError."""
    ends = []
    for name in ("seed", "to"):
        end = asked.get(name)
        if not (isinstance(end, list) and len(end) == 2 and all(type(one) is int for one in end)):
            raise InputError(f"{name} is no place: give a row and a column")
        ends.append((end[0], end[1]))
    seed, to = ends
    with _lock:
        wire = _wires.pop((key, *seed), None)
        if wire is None:
            costs = _costs.pop(key, None)
            if costs is None:
                costs = edge_costs(store.picture(key).pixels)
            _kept(_costs, key, costs, _KEPT_COSTS)
            wire = LiveWire(costs, seed)
        _kept(_wires, (key, *seed), wire, _KEPT_WIRES)
        return wire.path(to)


def _kept(found: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    found[key] = value
    while len(found) > most:
        found.popitem(last=False)
