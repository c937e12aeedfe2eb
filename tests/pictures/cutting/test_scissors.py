from __future__ import annotations

import time

import numpy as np
import pytest
from skimage.graph import MCP_Geometric

from deep_image_blending.errors import InputError
from deep_image_blending.pictures.cutting.scissors import LiveWire, edge_costs
from tests.pictures.cutting.made import composed, disc


def test_path_follows_the_edge_between_two_points_on_it():
    costs = edge_costs(composed(disc(120, 120, 40)).picture)
    path = np.array(LiveWire(costs, (60, 20)).path((60, 100)))
    assert tuple(path[0]) == (60, 20)
    assert tuple(path[-1]) == (60, 100)
    away = np.hypot(path[:, 0] - 60, path[:, 1] - 60)
    assert np.abs(away - 40).max() < 2.5
    assert (np.abs(np.diff(path, axis=0)).max(1) == 1).all()


def cost(costs: np.ndarray, path: list[tuple[int, int]]) -> float:
    rows, columns = np.array(path).T
    steps = np.hypot(np.diff(rows), np.diff(columns))
    return float((steps * (costs[rows, columns][1:] + costs[rows, columns][:-1]) / 2).sum())


def test_path_beyond_the_first_window_is_as_cheap_as_in_the_whole_picture():
    costs = np.random.default_rng(0).uniform(0.02, 1, (40, 700)).astype(np.float32)
    path = LiveWire(costs, (5, 5)).path((30, 690))
    assert path[0] == (5, 5)
    assert path[-1] == (30, 690)
    whole, _ = MCP_Geometric(costs).find_costs([(5, 5)])
    assert cost(costs, path) == pytest.approx(whole[30, 690], rel=1e-3)


def test_long_path_in_a_large_picture_is_nearly_as_cheap_and_all_of_a_piece():
    costs = edge_costs(composed(disc(700, 730, 250)).picture)
    seed, to = (350, 115), (350, 615)
    path = LiveWire(costs, seed).path(to)
    assert (path[0], path[-1]) == (seed, to)
    assert (np.abs(np.diff(path, axis=0)).max(1) == 1).all()
    whole, _ = MCP_Geometric(costs).find_costs([seed])
    assert cost(costs, path) < 1.1 * whole[to]


def test_flat_picture_gives_a_straight_path():
    path = LiveWire(edge_costs(np.full((30, 30, 3), 90, np.uint8)), (3, 4)).path((3, 25))
    assert path == [(3, column) for column in range(4, 26)]


def test_a_seed_costs_a_tenth_of_a_second_however_large_the_picture():
    costs = edge_costs(composed(disc(1024, 1024, 300)).picture)
    start = time.process_time()
    wire = LiveWire(costs, (512, 212))
    wire.path((500, 230))
    seed = time.process_time() - start
    start = time.process_time()
    MCP_Geometric(costs).find_costs([(512, 212)])
    # Against the whole picture, so that the machine's own speed is out of it.
    assert seed < 0.15 * (time.process_time() - start)
    start = time.process_time()
    for column in range(220, 300, 5):
        wire.path((480, column))
    assert time.process_time() - start < 0.5


def test_points_outside_are_refused():
    wire = LiveWire(np.ones((10, 12), np.float32), (2, 2))
    with pytest.raises(InputError, match="row 10, column 0 is outside the picture of 12x10"):
        wire.path((10, 0))
    with pytest.raises(InputError, match="outside"):
        LiveWire(np.ones((10, 12), np.float32), (2, -1))
