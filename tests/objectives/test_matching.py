"""Matching: the nearest candidate by brute force, copies that continue one another, and no lattice."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from deep_image_blending.objectives import recipe
from deep_image_blending.objectives.matching import (
    Grid,
    Matches,
    gathered,
    matched,
    nearest,
    patches,
    shifted,
    voted,
    with_tone,
)


def _grid(seed: int, rows: int, columns: int, channels: int = 6) -> torch.Tensor:
    return torch.randn(1, channels, rows, columns, generator=torch.Generator().manual_seed(seed))


def _lit(features: torch.Tensor, light: float = 0.5) -> Grid:
    return Grid(features, torch.full((1, 1, *features.shape[2:]), light))


def test_nearest_is_the_brute_force_maximum_of_the_cosine() -> None:
    queries, candidates = patches(_grid(1, 7, 9)), patches(_grid(2, 11, 13))
    found = nearest(queries, candidates, popularity=0.0, block=10)
    for query, index in zip(queries, found, strict=True):
        best = max(range(len(candidates)), key=lambda i: float(F.cosine_similarity(query, candidates[i], dim=0)))
        assert int(index) == best


def test_popular_candidates_lose() -> None:
    queries = F.normalize(torch.tensor([[1.0, 0.2], [1.0, -0.2]]), dim=1)
    candidates = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.55], [1.0, -0.55]]), dim=1)
    assert nearest(queries, candidates, popularity=0.0).tolist() == [0, 0]
    assert set(nearest(queries, candidates, popularity=1.5).tolist()) == {1, 2}


def test_a_part_of_the_painting_is_matched_with_itself() -> None:
    field = _grid(3, 20, 24)
    part = field[:, :, 4:14, 6:18]
    wanted, everywhere = (torch.ones(*size, dtype=torch.bool) for size in ((10, 12), (20, 24)))
    found = matched(_lit(part), _lit(field), wanted, everywhere)
    inner = slice(1, -1), slice(1, -1)
    rows, columns = torch.meshgrid(torch.arange(4, 14), torch.arange(6, 18), indexing="ij")
    assert (found.rows == rows)[inner].float().mean() > 0.95
    assert (found.columns == columns)[inner].float().mean() > 0.95


def test_matches_are_allowed_positions_and_the_same_every_time() -> None:
    field, query = _grid(4, 20, 24), _grid(5, 10, 12)
    allowed = torch.rand(20, 24, generator=torch.Generator().manual_seed(6)) > 0.5
    wanted = torch.ones(10, 12, dtype=torch.bool)
    found, again = (matched(_lit(query), _lit(field), wanted, allowed) for _ in range(2))
    assert allowed[found.rows, found.columns].all()
    assert torch.equal(found.rows, again.rows)
    assert torch.equal(found.columns, again.columns)


def test_another_tone_costs_by_the_square_of_the_difference() -> None:
    field, query = _grid(4, 20, 24), _grid(5, 10, 12)
    light = torch.rand(1, 1, 20, 24, generator=torch.Generator().manual_seed(6))
    queries, candidates = with_tone(_lit(query, 0.3), Grid(field, light), 2.0)
    cost = recipe.OTHER_TONE / (2.0 * recipe.LEGIBLE / 100) ** 2
    gaps = F.pad((light - 0.3) ** 2, [1] * 4, mode="reflect")
    expected = patches(query) @ patches(field).T - cost * F.avg_pool2d(gaps, 3, 1).flatten() + cost * 0.3**2
    torch.testing.assert_close(queries @ candidates.T, expected)


def test_a_place_that_is_copied_from_anywhere_on_the_object_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    field, query = _grid(7, 30, 30), torch.ones(1, 6, 24, 24)
    wanted, allowed = torch.ones(24, 24, dtype=torch.bool), torch.ones(30, 30, dtype=torch.bool)

    def places() -> int:
        found = matched(_lit(query), _lit(field), wanted, allowed)
        return len(torch.unique(found.rows * 30 + found.columns))

    varied = places()
    monkeypatch.setattr(recipe, "REUSE", 0.0)
    assert varied > places()


def test_repetition_costs_so_that_a_flat_object_is_no_lattice(monkeypatch: pytest.MonkeyPatch) -> None:
    field, query = _grid(7, 30, 30), torch.ones(1, 6, 12, 12)
    wanted, allowed = torch.ones(12, 12, dtype=torch.bool), torch.ones(30, 30, dtype=torch.bool)

    def repeats() -> float:
        found = matched(_lit(query), _lit(field), wanted, allowed)
        flat = found.rows * 30 + found.columns
        return float((shifted(flat, 0, 1)[:, :-1] == flat[:, :-1]).float().mean())

    costly = repeats()
    monkeypatch.setattr(recipe, "REPETITION", 0.0)
    assert costly < 0.2
    assert costly < 0.5 * repeats()


def test_distances_are_bounded_whatever_the_size_of_the_painting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "MOST_CANDIDATES", 50)
    seen = []

    def watched(queries: torch.Tensor, candidates: torch.Tensor, extra: int) -> torch.Tensor:
        seen.append(len(candidates))
        return nearest(queries, candidates, extra)

    monkeypatch.setattr("deep_image_blending.objectives.matching.nearest", watched)
    everywhere = torch.ones(60, 60, dtype=torch.bool)
    matched(_lit(_grid(8, 4, 4)), _lit(_grid(9, 60, 60)), torch.ones(4, 4, dtype=torch.bool), everywhere)
    assert seen == [50]


def test_copies_that_continue_one_another_are_the_painting_itself() -> None:
    source = 255 * torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(1))
    rows, columns = torch.meshgrid(torch.arange(2, 7), torch.arange(3, 9), indexing="ij")
    matches = Matches(rows, columns)
    torch.testing.assert_close(gathered(source, matches, 4), source[:, :, 8:28, 12:36])
    torch.testing.assert_close(
        voted(source, matches, torch.ones(5, 6, dtype=torch.bool), 4), source[:, :, 8:28, 12:36]
    )
