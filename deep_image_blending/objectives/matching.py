"""The nearest-neighbour field: which position of the painting each position of the object is matched with.

Positions are those of a grid. Patches of 3x3 positions are compared by their cosine, neighbours are drawn to
matches that continue one another, and repetition costs: strokes are copied whole, and none is laid in a lattice
(Barnes et al., *PatchMatch*, 2009; Kolkin et al., *Neural Neighbor Style Transfer*, 2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from deep_image_blending.objectives import recipe

_NOWHERE = -9999
TONE_COLUMNS = 10


@dataclass(frozen=True)
class Matches:
    """The painting's position of each position of the object's grid: rows, columns (h, w), int64."""

    rows: Tensor
    columns: Tensor


@dataclass(frozen=True)
class Grid:
    """What is compared at each position: features (1, C, h, w), and luminance in 0..1, (1, 1, h, w)."""

    features: Tensor
    light: Tensor


@torch.no_grad()
def matched(query: Grid, field: Grid, wanted: Tensor, allowed: Tensor, breadth: float = 1.0) -> Matches:
    """The matches of the positions `wanted` (h, w) of `query` in `field` (of H x W positions).

    allowed (H, W), bool: where may be copied from; one position at least. breadth: of the painting's strokes,
    over the usual. Memory is that of the grids, and of a block of distances; time is linear in the wanted
    positions.
    """
    queries, candidates = with_tone(query, field, breadth)
    chosen = torch.nonzero(allowed.flatten())[:, 0]
    chosen = chosen[:: max(1, math.ceil(len(chosen) / recipe.MOST_CANDIDATES))]
    places = torch.nonzero(wanted.flatten())[:, 0]
    own = chosen[:1].repeat(queries.shape[0])
    own[places] = chosen[nearest(queries[places], candidates[chosen], extra=TONE_COLUMNS)]
    height, width = wanted.shape
    start = seeded(own.view(height, width), wanted, allowed, round(recipe.SEED * breadth))
    return coherent(start, own, queries, candidates, wanted, allowed)


def patches(grid: Tensor) -> Tensor:
    """(1, C, h, w) -> (h w, 9 C), the 3x3 neighbourhood of every position, of length 1."""
    return F.normalize(around(grid), dim=1)


def around(grid: Tensor) -> Tensor:
    """(1, C, h, w) -> (h w, 9 C), the 3x3 neighbourhood of every position."""
    padded = F.pad(grid, [1] * 4, mode="replicate" if min(grid.shape[2:]) < 2 else "reflect")
    return F.unfold(padded, 3)[0].T


def with_tone(query: Grid, field: Grid, breadth: float) -> tuple[Tensor, Tensor]:
    """The patches of either, (h w, D) and (H W, D), whose product is their cosine less a penalty of another tone.

    The last `TONE_COLUMNS` make the penalty, a patch's mean of `cost * (a - b)²`, up to that of `cost * a²`: the
    query's own. The cosine knows no contrast: a fold would be matched with the black bars of a window.
    """
    cost = recipe.OTHER_TONE / (breadth * recipe.LEGIBLE / 100) ** 2
    ours, theirs = around(query.light), around(field.light)
    cost /= ours.shape[1]
    queries = torch.cat([patches(query.features), 2 * cost * ours, torch.ones_like(ours[:, :1])], 1)
    return queries, torch.cat([patches(field.features), theirs, -cost * theirs.pow(2).sum(1, keepdim=True)], 1)


def nearest(
    queries: Tensor,
    candidates: Tensor,
    extra: int = 0,
    popularity: float = recipe.POPULARITY,
    block: int = 1024,
) -> Tensor:
    """The candidate (N,) of the highest cosine for each query, corrected for candidates near to all of them.

    queries (N, D), candidates (M, D), of length 1 but for the last `extra` columns, by which nothing is near to
    anything. Blocked: memory is block x M.
    """
    hub: Tensor | float = 0.0
    if popularity:
        features = queries.shape[1] - extra
        sample = queries[:: max(1, len(queries) // 512), :features]
        most = min(8, len(sample))
        parts = torch.split(candidates[:, :features], 8192)
        near = [(part @ sample.T).topk(most, 1).values.mean(1) for part in parts]
        hub = popularity * torch.cat(near)
    return torch.cat([(part @ candidates.T - hub).argmax(1) for part in torch.split(queries, block)])


def shifted(grid: Tensor, rows: int, columns: int, fill: int = -1) -> Tensor:
    """`grid` (h, w) whose element (i, j) is the old (i + rows, j + columns), `fill` beyond the edge."""
    h, w = grid.shape
    padded = F.pad(grid[None, None], [2] * 4, value=fill)[0, 0]
    return padded[2 + rows : 2 + rows + h, 2 + columns : 2 + columns + w]


def seeded(own: Tensor, wanted: Tensor, allowed: Tensor, step: int = recipe.SEED) -> Matches:
    """Blocks of `step` positions that continue the match of the block's first one, where that is allowed.

    own (h, w): each position's own nearest candidate, as a flat index into allowed (H, W).
    """
    h, w = own.shape
    height, width = allowed.shape
    i = torch.arange(h, device=own.device)[:, None].expand(h, w)
    j = torch.arange(w, device=own.device)[None].expand(h, w)
    si, sj = i - i % step, j - j % step
    flat = own[si, sj]
    rows, columns = flat // width + i - si, flat % width + j - sj
    ok = wanted[si, sj] & (rows < height) & (columns < width)
    ok &= allowed[rows.clamp(max=height - 1), columns.clamp(max=width - 1)]
    return Matches(torch.where(ok, rows, own // width), torch.where(ok, columns, own % width))


def coherent(
    matches: Matches,
    own: Tensor,
    queries: Tensor,
    candidates: Tensor,
    wanted: Tensor,
    allowed: Tensor,
    sweeps: int = recipe.SWEEPS,
) -> Matches:
    """Let every position choose between its own nearest candidate and what its neighbours' matches imply.

    A choice gains by every neighbour that implies it, and loses by every position within two that has the very
    same match, and by how often its place is copied from anywhere. Positions take turns, so that neighbours don't
    jump at once. own (h w,), flat; queries (h w, D) and candidates (H W, D), whose products count; wanted (h, w)
    and allowed (H, W), bool.
    """
    rows, columns = matches.rows.clone(), matches.columns.clone()
    height, width = allowed.shape
    device = rows.device
    down, across = (torch.arange(n, device=device) % 2 for n in wanted.shape)
    turns = down[:, None] * 2 + across
    around = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    beside = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if (dy, dx) != (0, 0)]
    for turn in range(4 * sweeps):
        places = torch.nonzero((wanted & (turns == turn % 4)).flatten())[:, 0]
        if not len(places):
            continue
        flats, valid = [own[places]], [torch.ones(len(places), dtype=torch.bool, device=device)]
        for dy, dx in around:
            r = shifted(rows, dy, dx, _NOWHERE).flatten()[places] - dy
            c = shifted(columns, dy, dx, _NOWHERE).flatten()[places] - dx
            near = shifted(wanted.long(), dy, dx, 0).flatten()[places] > 0
            ok = near & (r >= 0) & (r < height) & (c >= 0) & (c < width)
            r, c = r.clamp(0, height - 1), c.clamp(0, width - 1)
            valid.append(ok & allowed[r, c])
            flats.append(r * width + c)
        flat = rows * width + columns
        repeated = torch.stack([shifted(flat, dy, dx).flatten()[places] for dy, dx in beside])
        options, good = torch.stack(flats), torch.stack(valid)
        implied = ((options[:, None] == options[None, 1:]) & good[None, 1:]).sum(1)
        repeats = torch.stack([(option == repeated).sum(0) for option in options])
        ours = queries[places]
        score = torch.stack([(ours * candidates[option]).sum(1) for option in options])
        score = score + recipe.AGREEMENT * implied - recipe.REPETITION * repeats
        uses = torch.bincount(flat[wanted], minlength=height * width).to(score).view(1, 1, height, width)
        uses = F.avg_pool2d(uses, 3, 1, 1).flatten()[options] - 1
        score = score - recipe.REUSE * uses.clamp(0, recipe.MOST_REUSED)
        chosen = options.gather(0, score.masked_fill(~good, -9).argmax(0)[None])[0]
        rows.view(-1)[places], columns.view(-1)[places] = chosen // width, chosen % width
    return Matches(rows, columns)


def gathered(source: Tensor, matches: Matches, step: int) -> Tensor:
    """Copies of `step` x `step` blocks of `source` (1, C, H, W) at the matches: (1, C, h step, w step).

    Quickest where the memory is channels-last, as that of the copies is.
    """
    h, w = matches.rows.shape
    height, width = source.shape[2:]
    within = torch.arange(step, device=source.device)
    rows = (matches.rows[:, None, :, None] * step + within[None, :, None, None]).expand(h, step, w, step)
    columns = (matches.columns[:, None, :, None] * step + within[None, None, None, :]).expand(h, step, w, step)
    places = (rows.clamp(max=height - 1) * width + columns.clamp(max=width - 1)).flatten()
    copies = source[0].permute(1, 2, 0).reshape(height * width, -1).index_select(0, places)
    return copies.view(1, h * step, w * step, -1).permute(0, 3, 1, 2)


def voted(source: Tensor, matches: Matches, wanted: Tensor, step: int) -> Tensor:
    """Overlapping copies of `source` (1, C, H, W), each wanted position's own and its neighbours', averaged.

    (1, C, h step, w step); 0 where no wanted position is near.
    """
    h, w = matches.rows.shape
    source = source.contiguous(memory_format=torch.channels_last)
    total = source.new_zeros(1, h * step, w * step, source.shape[1]).permute(0, 3, 1, 2)
    weight = source.new_zeros(h * step, w * step)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            there = shifted(wanted.long(), dy, dx, 0).to(source.dtype) * 0.5 ** (dy * dy + dx * dx)
            near = Matches(
                (shifted(matches.rows, dy, dx, 0) - dy).clamp(0, source.shape[2] // step - 1),
                (shifted(matches.columns, dy, dx, 0) - dx).clamp(0, source.shape[3] // step - 1),
            )
            share = there.repeat_interleave(step, 0).repeat_interleave(step, 1)
            total += gathered(source, near, step) * share
            weight += share
    return total / weight.clamp(min=1e-6)
