from __future__ import annotations

import time

import numpy as np
import pytest

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


def test_path_beyond_the_first_window_is_as_cheap_as_in_the_whole_picture():
    random = np.random.default_rng(0)
    costs = random.uniform(0.02, 1, (40, 700)).astype(np.float32)
    path = LiveWire(costs, (5, 5)).path((30, 690))
    assert path[0] == (5, 5)
    assert path[-1] == (30, 690)


def test_flat_picture_gives_a_straight_path():
    path = LiveWire(edge_costs(np.full((30, 30, 3), 90, np.uint8)), (3, 4)).path((3, 25))
    assert path == [(3, column) for column in range(4, 26)]


def test_paths_are_quick_once_the_seed_is_set():
    picture = composed(disc(512, 512, 150)).picture
    wire = LiveWire(edge_costs(picture), (256, 106))
    start = time.process_time()
    for column in range(120, 400, 10):
        wire.path((200, column))
    assert time.process_time() - start < 28 * 0.1


def test_points_outside_are_refused():
    wire = LiveWire(np.ones((10, 12), np.float32), (2, 2))
    with pytest.raises(InputError, match="row 10, column 0 is outside the picture of 12x10"):
        wire.path((10, 0))
    with pytest.raises(InputError, match="outside"):
        LiveWire(np.ones((10, 12), np.float32), (2, -1))
