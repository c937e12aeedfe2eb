"""The objective of painted targets: the object is painted with the painting's strokes, grain and palette.

The object is first moved to the painting's palette. Then, coarse to fine and in rounds, every position of the
object is matched with one of the painting (fixed while the solver runs, renewed for the next round). The object's
features are drawn to the matched ones and their statistics to the painting's, while contours that stand out of
the painting's own texture, and low-pass colour beyond what its strokes do, are held. Strokes are free where the
object is flat, form is kept where it shows.

Kolkin et al., *Neural Neighbor Style Transfer*, 2022; Luan et al., *Deep Painterly Harmonization*, EGSR 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from deep_image_blending.errors import InputError
from deep_image_blending.losses.covariance import covariance_loss
from deep_image_blending.losses.features import rows_of, wide
from deep_image_blending.losses.form import Form, form_loss, opponent
from deep_image_blending.losses.moments import mean_and_covariance, moments_loss
from deep_image_blending.losses.neighbours import neighbours_loss
from deep_image_blending.losses.tone import Tone, beyond_range, stroke_contrast, tone_loss
from deep_image_blending.networks.box import Box
from deep_image_blending.networks.network import Network
from deep_image_blending.networks.region import RegionFeatures
from deep_image_blending.objectives import recipe
from deep_image_blending.objectives.matching import Grid, Matches, gathered, matched, voted
from deep_image_blending.objectives.objective import Setting
from deep_image_blending.objectives.painting_kind import kind_of_painting
from deep_image_blending.objectives.palette import Wanted, covered, in_palette, surroundings_weight, without_rim
from deep_image_blending.objectives.schedule import Round, finest_scale
from deep_image_blending.objectives.statistics import digest
from deep_image_blending.objectives.taps import taps_of
from deep_image_blending.objectives.target_style import recoloured, recolouring, tiled_features
from deep_image_blending.pictures import Float
from deep_image_blending.pictures.scene import averaged
from deep_image_blending.pictures.tensors import image_tensor, plane_tensor
from deep_image_blending.solve.pyramid import Pyramid

Moments = tuple[Tensor, Tensor]


class Framed:
    """A window's pictures with a reflected frame, and in it the box that is painted: the object with a margin.

    The framed sides are multiples of 16, so that every layer's positions lie on the grid of matches. framed: their
    rows and columns.
    """

    def __init__(self, mask: Tensor) -> None:
        """mask (1, 1, h, w)."""
        self.size = (mask.shape[2], mask.shape[3])
        self.rows, self.columns = (_reflected(n, mask.device) for n in self.size)
        found = (self.of(mask)[0, 0] > 0).cpu().numpy()
        spans = []
        for axis in (1, 0):
            where = np.flatnonzero(found.any(axis))
            low, high = max(0, int(where[0]) - recipe.MARGIN), int(where[-1]) + 1 + recipe.MARGIN
            spans.append((low // 8 * 8, min(found.shape[1 - axis], -(-high // 8) * 8)))
        (top, bottom), (left, right) = spans
        self.box = Box(top, left, bottom, right)
        self.framed = (len(self.rows), len(self.columns))

    def of(self, image: Tensor) -> Tensor:
        """(1, C, h, w) with its frame: (1, C, H, W)."""
        return image.index_select(2, self.rows).index_select(3, self.columns)

    def part(self, image: Tensor) -> Tensor:
        """The box's part of an image (1, C, h, w)."""
        rows, columns = self.box.slices()
        return self.of(image)[:, :, rows, columns].contiguous()

    def placed(self, part: Tensor, image: Tensor) -> Tensor:
        """`image` (1, C, h, w) with the box's pixels in place."""
        rows, columns = self.box.slices()
        framed = self.of(image)
        framed[:, :, rows, columns] = part
        height, width = self.size
        inner = slice(recipe.FRAME, recipe.FRAME + height), slice(recipe.FRAME, recipe.FRAME + width)
        return framed[:, :, inner[0], inner[1]]


class PaintedPixels:
    """The unknowns: the pyramid of the box around the object. `x` is (n,)."""

    def __init__(self, target: Tensor, mask: Tensor) -> None:
        """target (1, 3, h, w), mask (1, 1, h, w): a window of the scene."""
        self.target, self.frame = target, Framed(mask)
        self.backdrop, self.mask = self.frame.part(target), self.frame.part(mask)
        self.framed_mask = self.frame.of(mask)
        self.pyramid = Pyramid(self.backdrop)

    def gather(self, image: Tensor) -> Tensor:
        """The unknowns of a picture (1, 3, h, w) of the window."""
        return self.pyramid.coefficients(self.frame.part(image))

    def scatter(self, x: Tensor) -> Tensor:
        """The window's picture (1, 3, h, w), not yet blended with the target."""
        return self.frame.placed(self.pyramid.picture(x), self.target)

    def blended(self, x: Tensor) -> Tensor:
        """The box's blend, (1, 3, h', w')."""
        return self.backdrop + self.mask * (self.pyramid.picture(x) - self.backdrop)


@dataclass(frozen=True)
class View:
    """One resolution as it is painted.

    pixels: the unknowns and the frame. painting (1, 3, H, W): the framed target, its palette as the strength has
    it; candidates come from all of it. wanted (1, 3, h, w): the box's part of the object in the painting's
    palette, on the painting. scale: of the resolution, over the finest that is painted. breadth: of the painting's
    strokes, over the usual. surroundings: share of the painting around the object in the statistics aimed at.
    """

    pixels: PaintedPixels
    painting: Tensor
    wanted: Tensor
    scale: int
    breadth: float
    surroundings: float

    @property
    def box(self) -> Box:
        return self.pixels.frame.box

    @property
    def mask(self) -> Tensor:
        return self.pixels.mask

    def near(self) -> Box:
        """The box and half of it on each side."""
        tall, wide_ = self.box.height // 2, self.box.width // 2
        return Box(
            max(0, self.box.top - tall),
            max(0, self.box.left - wide_),
            min(self.painting.shape[2], self.box.bottom + tall),
            min(self.painting.shape[3], self.box.right + wide_),
        )

    def around(self) -> Tensor:
        """The painting there, (1, 3, h', w')."""
        rows, columns = self.near().slices()
        return self.painting[:, :, rows, columns]

    def counted(self) -> Tensor:
        """The mask times how much each pixel counts, (1, 1, h, w): what sets the object off the painting, more."""
        reach = max(2, round(recipe.SILHOUETTE_REACH / self.scale))
        inside = F.avg_pool2d(F.pad(self.mask, [reach] * 4, mode="replicate"), 2 * reach + 1, 1)
        return self.mask * (1 + recipe.SILHOUETTE * (1 - inside) * self.mask)

    def held(self) -> Tensor:
        """Where the object's own contours are kept at a start, (1, 1, h, w) in 0..1; elsewhere it is copies."""
        weight = Form.of(self.wanted, self.counted(), self.around(), 2, recipe.STANDS_OUT).weight.clamp(max=1)
        weight = weight[:, :, : self.mask.shape[2], : self.mask.shape[3]]
        return F.avg_pool2d(F.pad(weight, [2] * 4, mode="replicate"), 5, 1).clamp(0, 1)


class Painter:
    """The painting as the network sees it at one resolution, and the matching of an object with it."""

    @torch.no_grad()
    def __init__(self, network: Network, view: View, taps: Sequence[str]) -> None:
        self.view, self.taps = view, tuple(taps)
        self.strides = network.strides()
        self.heads = network.heads
        self.features = RegionFeatures(network, view.pixels.frame.of(view.pixels.target), view.box, set(taps))
        self.theirs = self._of_painting(network)
        self.unit = {tap: _spread(found) for tap, found in self.theirs.items()}
        touched = F.max_pool2d(view.pixels.framed_mask, recipe.GRID)[0, 0] > 0
        covered_positions = F.max_pool2d(F.max_pool2d(view.mask, recipe.GRID), 3, 1, 1)
        self.wanted = covered_positions[0, 0] > 0
        self.allowed = _first_of(
            (~(F.max_pool2d(touched[None, None].float(), 5, 1, 2)[0, 0] > 0), ~touched),
            otherwise=torch.ones_like(touched),
        )
        self.variance = opponent(view.painting).flatten(2).var(2, correction=0)[0].clamp(min=1e-4)
        self.allowed = _first_of((self.allowed & ~self._rare(),), otherwise=self.allowed)
        grid = self.hypercolumns(self.theirs)
        self.axes, self.middle = _principal(grid)
        colour = self._colour(view.painting)
        projected = self._projected(grid)
        self.colour_middle = colour.mean((2, 3), keepdim=True)
        spread = projected.pow(2).sum(1).mean().sqrt()
        self.colour_unit = (colour - self.colour_middle).pow(2).sum(1).mean().sqrt() / spread.clamp_min(1e-6)
        self.field = self._compared(view.painting, self.theirs)
        self.aim = self._compared(view.wanted, self.seen(view.wanted))
        self.around = self._moments_around(touched)

    def seen(self, pixels: Tensor) -> dict[str, Tensor]:
        """Features of the box's pixels (1, 3, h, w) in the painting, at the box's own positions, by tap."""
        found = self.features(pixels)
        return {
            tap: wide(_cut(found[tap], self.features.boxes[tap], _at(self.view.box, self.strides[tap])))
            for tap in self.taps
        }

    def hypercolumns(self, features: Mapping[str, Tensor]) -> Tensor:
        """The layers' features side by side on the grid of matches, each over its spread: (1, C, h, w)."""
        parts = []
        for tap in self.taps:
            step = self.step(tap)
            part = F.avg_pool2d(features[tap], step) if step > 1 else features[tap]
            parts.append(part / self.unit[tap])
        return torch.cat(parts, 1)

    def step(self, tap: str) -> int:
        """A layer's positions from one matched position to the next."""
        return recipe.GRID // self.strides[tap]

    @torch.no_grad()
    def match(self, pixels: Tensor, share: float) -> Matches:
        """Matches of the box's pixels (1, 3, h, w), mixed with the wanted picture by `share` of the latter."""
        query = (1 - share) * self._compared(pixels, self.seen(pixels)) + share * self.aim
        count = self.axes.shape[1]
        inside, theirs = query[0, :count][:, self.wanted], self.field[0, :count][:, self.allowed]
        ours_mean, theirs_mean = (f.mean(1)[:, None, None] for f in (inside, theirs))
        gain = theirs.std(1, correction=0) / inside.std(1, correction=0).clamp(min=1e-6)
        gain = gain.clamp(*recipe.GAIN)[:, None, None]
        centred = (query[0, :count] - ours_mean) * gain
        query[0, :count] = centred + ours_mean + recipe.MEAN * (theirs_mean - ours_mean)
        wanted, painting = _grid_of(query, self.view.wanted), _grid_of(self.field, self.view.painting)
        return matched(wanted, painting, self.wanted, self.allowed, self.view.breadth)

    def _of_painting(self, network: Network) -> dict[str, Tensor]:
        """Features (1, C, H_l, W_l) of the whole painting by tap, computed tile by tile."""
        painting = self.view.painting
        size = (painting.shape[2], painting.shape[3])
        sizes, whole_features = network.sizes(size), dict[str, Tensor]()
        for found, places in tiled_features(network, painting, set(self.taps)):
            for tap in self.taps:
                if tap not in whole_features:
                    channels = found[tap].shape[1]
                    # Channels last: whole positions are copied.
                    whole_features[tap] = painting.new_zeros(1, *sizes[tap], channels).permute(0, 3, 1, 2)
                rows, columns = places[tap].slices()
                whole_features[tap][:, :, rows, columns] = wide(found[tap])
        return {
            tap: _cut(
                whole_features[tap],
                Box(0, 0, *sizes[tap]),
                _at(Box(0, 0, *size), self.strides[tap]),
            )
            for tap in self.taps
        }

    def _rare(self) -> Tensor:
        """Positions (h, w) whose colour is rare in the painting and in the object: accents are not for copying."""
        theirs, ours = (
            F.avg_pool2d(opponent(p), recipe.GRID)[0, 1:].flatten(1).T.cpu().numpy()
            for p in (self.view.painting, self.view.wanted)
        )
        inside = (F.avg_pool2d(self.view.mask, recipe.GRID) > 0.5).flatten().cpu().numpy()
        allowed = self.allowed.flatten().cpu().numpy()
        bins = np.linspace(-0.5, 0.5, 41)

        def density(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
            counts = np.histogram2d(points[:, 0], points[:, 1], [bins, bins])[0]
            smoothed: npt.NDArray[np.float64] = ndimage.gaussian_filter(counts / max(1, len(points)), 1.0)
            return smoothed

        common = density(theirs[allowed]) + 0.5 * density(ours[inside])
        index = ((theirs + 0.5) * 40).astype(int).clip(0, 39)
        found = common[index[:, 0], index[:, 1]]
        rare = found <= np.quantile(found[allowed], recipe.RARE)
        return torch.from_numpy(rare).view(self.allowed.shape).to(self.allowed.device)

    def _colour(self, pixels: Tensor) -> Tensor:
        """Low-pass luminance and chroma on the grid, (1, 3, h, w)."""
        colour = F.avg_pool2d(opponent(pixels), recipe.GRID)
        return F.avg_pool2d(F.pad(colour, [1] * 4, mode="replicate"), 3, 1)

    def _projected(self, grid: Tensor) -> Tensor:
        return torch.einsum("nchw,ck->nkhw", grid - self.middle.view(1, -1, 1, 1), self.axes)

    def _compared(self, pixels: Tensor, features: Mapping[str, Tensor]) -> Tensor:
        """What is matched: principal hypercolumns, and low-pass luminance and chroma, (1, C, h, w)."""
        colour = (self._colour(pixels) - self.colour_middle) / self.colour_unit.clamp_min(1e-6)
        return torch.cat([self._projected(self.hypercolumns(features)), recipe.COLOUR * colour], 1)

    def _moments_around(self, touched: Tensor) -> dict[str, Moments]:
        """Moments of the painting near the object, by tap, off the object where anything is."""
        found = {}
        for tap in self.taps:
            step, near = self.step(tap), _at(self.view.near(), self.strides[tap])
            outside = (~touched).repeat_interleave(step, 0).repeat_interleave(step, 1)
            rows, columns = near.slices()
            counted = outside[rows, columns].flatten()
            values = rows_of(self.theirs[tap][:, :, rows, columns])
            found[tap] = mean_and_covariance(values[counted] if counted.any() else values)
        return found


class PaintedObjective:
    """One round's weighted sum of losses, its matches fixed.

    start: (1, 3, h, w), the window's picture that the solver begins with. strength: the share of the painting's
    palette that is wanted.
    """

    start: Tensor

    def __init__(
        self, painter: Painter, matches: Matches, weights: Mapping[str, float], start: Tensor, strength: float
    ) -> None:
        view = painter.view
        self.painter, self.pixels, self.weights, self.start = painter, view.pixels, weights, start
        self.places, self.theirs, self.goals = {}, {}, dict[str, Moments]()
        with torch.no_grad():
            voted_copies = dict[str, Tensor]()
            for tap in painter.taps:
                step, theirs = painter.step(tap), painter.theirs[tap]
                inside = painter.wanted.repeat_interleave(step, 0).repeat_interleave(step, 1)
                self.places[tap] = torch.nonzero(inside.flatten())[:, 0]
                # Votes don't jump where two pieces of painting meet, but have less spread than the copies.
                voted_copies[tap] = voted(theirs, matches, painter.wanted, step)
                self.theirs[tap] = rows_of(voted_copies[tap])[self.places[tap]]
                own = mean_and_covariance(rows_of(gathered(theirs, matches, step))[self.places[tap]])
                self.goals[tap] = _between(own, painter.around[tap], view.surroundings)
            self.grid_places = torch.nonzero(painter.wanted.flatten())[:, 0]
            self.columns = rows_of(painter.hypercolumns(voted_copies))[self.grid_places]
            around, counted = view.around(), view.counted()
            self.forms = [
                Form.of(view.wanted, counted, around, scale, recipe.STANDS_OUT) for scale in recipe.FORM_SCALES
            ]
            pool = max(2, round(recipe.TONE_SCALE / view.scale))
            # The object's own tones are held the more firmly, the less of the painting's are wanted.
            freedom = strength * recipe.TONE_FREEDOM * stroke_contrast(around, pool)
            self.tone = Tone(view.wanted, view.mask, counted, pool, freedom, painter.variance)

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        pixels, weights = self.pixels.blended(x), self.weights
        found: dict[str, Tensor] = {}
        of_features = self._of_features(pixels) if any(weights[name] for name in _OF_FEATURES) else {}
        for name in _OF_FEATURES:
            if weights[name]:
                found[name] = weights[name] * of_features[name]
        if weights["form"]:
            forms = torch.stack([form_loss(pixels, form) for form in self.forms])
            found["form"] = weights["form"] * forms.mean()
        # What lies beyond black and white counts however free the tone is.
        found["tone"] = weights["tone"] * tone_loss(pixels, self.tone) + 10 * beyond_range(pixels)
        return found

    def picture(self, x: Tensor) -> Tensor:
        part, base = self.pixels.blended(x), self.pixels.target
        return self.pixels.frame.placed(part, base)

    def _of_features(self, pixels: Tensor) -> dict[str, Tensor]:
        painter = self.painter
        features = painter.seen(pixels)
        columns = rows_of(painter.hypercolumns(features))[self.grid_places]
        neighbours, moments, covariances = [], [], []
        for tap in painter.taps:
            rows = rows_of(features[tap])[self.places[tap]]
            own = mean_and_covariance(rows)
            neighbours.append(neighbours_loss(rows, self.theirs[tap]))
            moments.append(moments_loss(own, self.goals[tap], painter.heads.get(tap)))
            covariances.append(covariance_loss(own[1], self.goals[tap][1]))
        return {
            "neighbours": 0.5 * neighbours_loss(columns, self.columns) + 0.5 * torch.stack(neighbours).mean(),
            "moments": torch.stack(moments).mean(),
            "covariance": torch.stack(covariances).mean(),
        }


_OF_FEATURES = ("neighbours", "moments", "covariance")


@torch.no_grad()
def build(setting: Setting) -> PaintedObjective:
    """The objective of one round, matched with what the round before ended with."""
    step = setting.round
    assert step is not None
    key = (setting.window.scale, setting.window.mask.shape, setting.options, digest(setting.full))
    painter = setting.prepared.latest("painter", key, lambda: _painter(setting))
    view, frame = painter.view, painter.view.pixels.frame
    current = view.wanted if setting.before is None else _current(view, setting.before, step)
    matches = painter.match(current, step.share**view.breadth)
    if step.opens:
        current = _opened(painter, matches, current)
    start = frame.placed(current, view.pixels.target)
    return PaintedObjective(painter, matches, weights_of(setting), start, setting.options.strength)


def weights_of(setting: Setting) -> dict[str, float]:
    """The losses' weights, as the kind of painting has them; tone counts more at less strength."""
    strength = max(setting.options.strength, recipe.LEAST_STRENGTH)
    factors = {**recipe.FACTORS[painting_in(setting)], "tone": strength**recipe.FIRMNESS}
    return {name: weight * factors.get(name, 1.0) for name, weight in setting.options.weights.items()}


def painting_in(setting: Setting) -> str:
    """The kind of painting that is painted into: the option's, or what the painting's own statistics tell."""
    kind: str = setting.options.painting
    if kind == "auto":
        fine = setting.fine
        kind = setting.prepared.once(
            ("painting", digest(fine.target), digest(fine.mask)),
            lambda: kind_of_painting(fine.target, fine.mask).kind,
        )
    return kind


def finished(setting: Setting, blend: Float) -> Float:
    """The pass's picture at full resolution, (h, w, 3), from that of the finest painted one, 0..255.

    An object painted at a coarser scale keeps the wanted picture's fine detail. A hard mask's contour is painted
    over a pixel and a half, not cut.
    """
    fine = setting.fine
    setting.prepared.forget("painter")
    if setting.window.scale > 1:
        wanted = wanted_of(setting).picture
        change = torch.from_numpy(blend - averaged(wanted, setting.window.scale)).permute(2, 0, 1)[None]
        rows, columns = fine.mask.shape
        large = F.interpolate(change, scale_factor=setting.window.scale, mode="bicubic", align_corners=False)
        large = F.pad(large, (0, columns - large.shape[3], 0, rows - large.shape[2]), mode="replicate")
        blend = (wanted + large[0].permute(1, 2, 0).numpy()).clip(0, 255)
    cover = rim(fine.mask)[..., None]
    mixed: Float = fine.target + cover * (blend - fine.target)
    return mixed


def wanted_of(setting: Setting) -> Wanted:
    """The object in the palette that is wanted, on the painting: the finest window's."""
    fine, strength = setting.fine, setting.options.strength

    def make() -> Wanted:
        moved, merged = in_palette(without_rim(setting.full, fine.mask), fine.target, fine.mask, strength)
        return Wanted(fine.target + fine.mask[..., None] * (moved - fine.target), merged)

    found: Wanted = setting.prepared.latest("wanted", (strength, digest(setting.full), fine.mask.shape), make)
    return found


def rim(mask: Float) -> Float:
    """How much of the painted object shows, (h, w) in 0..1 from a mask of the same: all, but for hard contours."""
    inside = np.pad(covered(mask), 2, mode="edge")
    depth = ndimage.distance_transform_edt(inside)[2:-2, 2:-2]
    shown = np.where(mask >= 1, np.minimum(1, depth / (recipe.RIM + 0.5)), 1.0) * (mask > 0)
    return np.asarray(shown, np.float32)


def painted_taps(network: Network, setting: Setting) -> tuple[str, ...]:
    """The style layers whose positions the grid of matches can hold. Raises InputError where there are none."""
    strides, taps = network.strides(), taps_of(setting.options)[0]
    found = tuple(tap for tap in taps if recipe.GRID % strides[tap] == 0)
    if not found:
        raise InputError(
            f"none of the style layers {', '.join(taps)} of {network.name} has a position every {recipe.GRID} "
            "pixels or closer, as painting needs; give shallower --style-layers"
        )
    return found


def _painter(setting: Setting) -> Painter:
    window, device = setting.window, setting.device
    target, mask = image_tensor(window.target, device), plane_tensor(window.mask, device)
    pixels = PaintedPixels(target, mask)
    found = wanted_of(setting)
    wanted = averaged(found.picture, window.scale)
    painting = pixels.frame.of(target)
    if setting.options.strength < 1:
        painting = recoloured(painting, _colours(setting))
    part = pixels.backdrop + pixels.mask * (pixels.frame.part(image_tensor(wanted, device)) - pixels.backdrop)
    scale, breadth = window.scale // finest_scale(setting.scene), recipe.BREADTH.get(painting_in(setting), 1.0)
    view = View(pixels, painting, part, scale, breadth, recipe.SURROUNDINGS * found.merged)
    taps = painted_taps(setting.network, setting)
    return Painter(setting.network.truncated(set(taps)), view, taps)


def _colours(setting: Setting) -> Tensor:
    """The affine map (3, 4) that gives the painting the object's palette, but for the strength's share."""
    fine, strength = setting.fine, setting.options.strength
    cpu = torch.device("cpu")

    def make() -> Tensor:
        near = surroundings_weight(fine.mask)
        counted = plane_tensor(near.astype(np.float32), cpu) if near.any() else None
        own = image_tensor(without_rim(setting.full, fine.mask), cpu)
        target, mask = image_tensor(fine.target, cpu), plane_tensor(fine.mask, cpu)
        # Strokes that are stretched with the colours would be stronger than any of the painting's.
        return recolouring(target, counted, own, mask, strength, stretch=1.0)

    found: Tensor = setting.prepared.latest("painting's colours", (strength, digest(setting.full)), make)
    return found


def _current(view: View, before: Tensor, step: Round) -> Tensor:
    """What a round begins with, on the box, from what the one before ended with (1, 3, h', w').

    A new resolution begins with the coarser picture and, at contours, the wanted picture's fine detail.
    """
    pixels = view.pixels
    if not step.opens:
        return pixels.frame.part(before)
    height, width = pixels.frame.size
    large = F.interpolate(before, scale_factor=2, mode="bicubic", align_corners=False)
    large = F.pad(large, (0, width - large.shape[3], 0, height - large.shape[2]), mode="replicate")
    coarse = pixels.frame.part(large)
    low = F.avg_pool2d(view.wanted, 2, ceil_mode=True)
    low = F.interpolate(low, view.wanted.shape[2:], mode="bilinear", align_corners=False)
    current = (coarse + view.held() * (view.wanted - low)).clamp(0, 255)
    return pixels.backdrop + pixels.mask * (current - pixels.backdrop)


def _opened(painter: Painter, matches: Matches, current: Tensor) -> Tensor:
    """The painting's copies voted into the box, but for the object's contours: what a resolution begins with."""
    view = painter.view
    copies = voted(view.painting, matches, painter.wanted, recipe.GRID)
    inside = painter.wanted.repeat_interleave(recipe.GRID, 0).repeat_interleave(recipe.GRID, 1)
    copies = torch.where(inside, copies, current)
    copies = copies + view.held() * (current - copies)
    return view.pixels.backdrop + view.mask * (copies - view.pixels.backdrop)


def _reflected(length: int, device: torch.device) -> Tensor:
    """The indices of a side with its frame: reflected pixels before and after, to a multiple of 16."""
    after = recipe.FRAME + -(length + 2 * recipe.FRAME) % 16
    return torch.from_numpy(np.pad(np.arange(length), (recipe.FRAME, after), mode="reflect")).to(device)


def _at(box: Box, stride: int) -> Box:
    """The positions of a layer that stand for a box of pixels."""
    return Box(box.top // stride, box.left // stride, box.bottom // stride, box.right // stride)


def _cut(features: Tensor, place: Box, wanted: Box) -> Tensor:
    """Features (1, C, h, w) that lie at `place`, on the positions `wanted`; the nearest where there are none."""
    local = wanted.shifted(-place.top, -place.left)
    height, width = features.shape[2], features.shape[3]
    if local.top >= 0 and local.left >= 0 and local.bottom <= height and local.right <= width:
        return features[:, :, local.top : local.bottom, local.left : local.right]
    rows = torch.arange(local.top, local.bottom, device=features.device).clamp(0, height - 1)
    columns = torch.arange(local.left, local.right, device=features.device).clamp(0, width - 1)
    return features[:, :, rows][:, :, :, columns]


def _spread(features: Tensor) -> Tensor:
    """Root mean square distance of the positions' features (1, C, h, w) from their mean."""
    columns = features.flatten(2)
    return (columns - columns.mean(2, keepdim=True)).pow(2).sum(1).mean().sqrt().clamp_min(1e-6)


def _principal(grid: Tensor) -> tuple[Tensor, Tensor]:
    """The principal axes (C, k) of a grid's positions (1, C, h, w), and their mean (C,)."""
    columns = grid[0].flatten(1).T
    columns = columns[:: max(1, len(columns) // 4000)]
    middle = columns.mean(0)
    covariance = ((columns - middle).T @ (columns - middle)).cpu().double()
    vectors = torch.linalg.eigh(covariance)[1]
    return vectors[:, -recipe.AXES :].to(grid), middle


def _grid_of(features: Tensor, pixels: Tensor) -> Grid:
    """Compared features (1, C, h, w) with the luminance of the pixels that they stand for."""
    return Grid(features, F.avg_pool2d(opponent(pixels)[:, :1], recipe.GRID))


def _between(ours: Moments, theirs: Moments, share: float) -> Moments:
    """The matched positions' moments and the surroundings', by the latter's share."""
    mean, covariance = ((1 - share) * a + share * b for a, b in zip(ours, theirs, strict=True))
    return mean, covariance


def _first_of(choices: Sequence[Tensor], otherwise: Tensor) -> Tensor:
    """The first of some boolean planes that has any position."""
    return next((choice for choice in choices if bool(choice.any())), otherwise)
