"""The plain restatement of the published algorithm, against closed forms and loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor

from tests import published
from tests.published import Case

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def _state(name: str, depth: int, seed: int = 3) -> dict[str, Tensor]:
    """Random filters, in torchvision's naming, for the layers before `depth`."""
    with torch.device("meta"):
        features = getattr(torchvision.models, name)(weights=None).features[:depth]
    generator = torch.Generator().manual_seed(seed)
    return {
        f"features.{key}": torch.randn(value.shape, generator=generator) / (value[0].numel() / 2) ** 0.5
        for key, value in features.state_dict().items()
    }


@pytest.fixture(scope="module")
def vgg() -> published.Vgg:
    """VGG-16 to relu2_2, in float64."""
    return published.plain_vgg16(_state("vgg16", 9), ("relu1_2", "relu2_2")).double()


@pytest.fixture
def small() -> Case:
    """A 6x6 source with a notched mask at row 3, column 2 of a 12x12 canvas, in float64."""
    random = np.random.default_rng(4)
    mask = torch.zeros(6, 6, dtype=torch.float64)
    mask[1:5, 0:4] = 1
    mask[1, 0] = 0
    source, target = (torch.from_numpy(random.uniform(0, 255, (1, 3, n, n))) for n in (6, 12))
    return Case(source, mask, target, 3, 2)


def _laplacian(plane: Array) -> Array:
    """Four times a pixel less its neighbours; outside lies 0."""
    height, width = plane.shape
    out = np.zeros_like(plane)
    for i in range(height):
        for j in range(width):
            out[i, j] = 4 * plane[i, j]
            for r, c in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                if 0 <= r < height and 0 <= c < width:
                    out[i, j] -= plane[r, c]
    return out


def _composite(z: Array, case: Case) -> Array:
    """The blend, pixel by pixel."""
    blend = case.target[0].numpy().copy()
    for i, j in zip(*np.nonzero(case.mask.numpy()), strict=True):
        blend[:, case.top + i, case.left + j] = z[:, case.top + i, case.left + j]
    return blend


def _gram(features: Tensor) -> Array:
    f = features[0].numpy()
    return np.asarray(np.einsum("ihw,jhw->ij", f, f) / f.size)


def _noise(case: Case, seed: int = 9) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(case.target.shape, generator=generator, dtype=torch.float64) * 255


def test_laplacian_equals_a_loop_with_zeros_outside(small: Case) -> None:
    for plane, found in zip(small.target[0].numpy(), published.laplacian(small.target), strict=True):
        np.testing.assert_allclose(found, _laplacian(plane), atol=1e-10)


def test_laplacian_of_a_point_is_the_kernel() -> None:
    image = torch.zeros(1, 3, 3, 3)
    image[0, 1, 1, 1] = 1
    first, second, third = published.laplacian(image)
    assert second.tolist() == [[0, -1, 0], [-1, 4, -1], [0, -1, 0]]
    assert not first.any()
    assert not third.any()


def test_guidance_is_the_sources_field_where_the_mask_is_and_the_targets_elsewhere(small: Case) -> None:
    for c in range(3):
        wanted = _laplacian(small.target[0, c].numpy())
        of_source = _laplacian(small.source[0, c].numpy())
        for i in range(6):
            for j in range(6):
                if small.mask[i, j]:
                    wanted[3 + i, 2 + j] = of_source[i, j]
        np.testing.assert_allclose(small.guidance[c], wanted, atol=1e-10)


def test_total_variation_of_a_hand_counted_image() -> None:
    image = torch.zeros(1, 3, 3, 3)
    image[0, 0] = torch.tensor([[1.0, 4.0, 2.0], [0.0, 0.0, 5.0], [7.0, 7.0, 7.0]])
    image[0, 2, 0, 0] = 10
    # Rows 3+2, 0+5, 0+0; columns 1+7, 4+7, 3+2; the corner of the third channel has two neighbours.
    assert published.variation(image).item() == 10 + 24 + 20


def test_gram_matrix_of_two_channels_is_divided_by_their_number_of_values() -> None:
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, -1.0]]]])
    assert published.gram(features).tolist() == [[30 / 8, -2 / 8], [-2 / 8, 2 / 8]]


def test_style_is_the_mean_over_layers_of_mean_squared_differences() -> None:
    ones = {"a": torch.ones(1, 1, 2, 2), "b": torch.ones(1, 2, 1, 1)}
    # Gram matrices: a is 1 and 4; b is 1/2 and 4/2 in all places.
    assert published.style({k: 2 * v for k, v in ones.items()}, ones).item() == pytest.approx((9 + 2.25) / 2)


def test_histogram_term_moves_each_value_to_the_targets_of_its_rank() -> None:
    own = torch.tensor([[[[3.0, 1.0, 2.0]], [[0.0, 5.0, -5.0]]]], requires_grad=True)
    target = torch.tensor([[[[10.0, 30.0, 20.0]], [[0.0, 0.0, 6.0]]]])
    found = published.histogram({"a": own}, {"a": target})
    moved = np.array([30 - 3, 10 - 1, 20 - 2, 0 - 0, 6 - 5, 0 + 5])
    assert found.item() == pytest.approx((moved**2).mean())
    found.backward()  # type: ignore[no-untyped-call]
    assert own.grad is not None
    np.testing.assert_allclose(own.grad.flatten(), -2 * moved / 6, rtol=1e-6)


def test_network_sees_pixels_less_the_published_shift() -> None:
    seen = published.shifted(torch.full((1, 3, 1, 2), 255.0, dtype=torch.float64))
    np.testing.assert_allclose(seen[0, :, 0, 1], [254.5512, 254.5629, 254.5960], rtol=1e-12)


def test_standardised_is_what_torchvision_makes_of_a_picture() -> None:
    image = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(2))
    expected = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(image)
    torch.testing.assert_close(published.standardised(255 * image), expected)


@pytest.mark.parametrize(
    ("name", "conv"), [("vgg16", (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)), ("vgg19", (0, 2, 5, 7, 10, 12, 14))]
)
def test_taps_are_the_rectified_convolutions_of_their_names(name: str, conv: tuple[int, ...]) -> None:
    taps = published.TAPS if name == "vgg16" else ("relu1_2", "relu2_2", "relu3_3")
    state = _state(name, conv[-1] + 1)
    network = published.Vgg(state, name, taps)
    image = torch.randn(1, 3, 17, 18, generator=torch.Generator().manual_seed(1))
    found = network(image)
    # The last convolution before each tap; after the second, fourth and seventh comes a pool.
    ends = dict(zip((2, 7, 14, 21), taps, strict=False))
    x = published.shifted(image)
    for at in conv:
        weight, bias = state[f"features.{at}.weight"], state[f"features.{at}.bias"]
        x = torch.relu(torch.conv2d(x, weight, bias, padding=1))
        if at in ends:
            torch.testing.assert_close(found.pop(ends[at]), x)
            x = torch.max_pool2d(x, 2)
    assert not found
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("depth", "taps", "said"),
    [
        (9, ("relu1_2", "relu2_2", "relu3_3"), "do not reach relu3_3: no .*features.10.weight"),
        (9, ("relu2_2", "relu2_3"), "no .*relu2_3"),
        (9, ("relu1_2",), "must hold relu2_2"),
    ],
)
def test_network_that_cannot_be_had_is_refused(depth: int, taps: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        published.plain_vgg16(_state("vgg16", depth), taps)


def test_files_are_resampled_as_pillow_does_and_any_grey_is_mask(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    source = Image.fromarray(random.integers(0, 256, (9, 14, 3), np.uint8))
    target = Image.fromarray(random.integers(0, 256, (31, 20), np.uint8))
    grey = np.zeros((9, 14), np.uint8)
    grey[4:7, 5:9] = 1
    grey[0, 13] = 200
    paths = (tmp_path / "source.png", tmp_path / "mask.png", tmp_path / "target.png")
    for image, path in zip((source, Image.fromarray(grey), target), paths, strict=True):
        image.save(path)
    case = published.load_case(*paths, 7, 24, 10, 16)
    # 10 - 3.5 and 16 - 3.5, cut: the first is vertical.
    assert (case.top, case.left) == (6, 12)
    bicubic = Image.Resampling.BICUBIC
    np.testing.assert_array_equal(case.source[0].permute(1, 2, 0), np.array(source.resize((7, 7), bicubic)))
    np.testing.assert_array_equal(
        case.target[0].permute(1, 2, 0), np.array(target.convert("RGB").resize((24, 24), bicubic))
    )
    np.testing.assert_array_equal(case.mask, np.array(Image.fromarray(grey).resize((7, 7), bicubic)) > 0)
    np.testing.assert_array_equal(case.canvas_mask[6:13, 12:19], case.mask)
    assert case.canvas_mask.sum() == case.mask.sum() > 0


@pytest.mark.parametrize(("x", "y"), [(2, 12), (12, 2), (22, 12), (12, 22)])
def test_source_that_leaves_the_canvas_is_refused(tmp_path: Path, x: float, y: float) -> None:
    path = tmp_path / "any.png"
    Image.new("RGB", (8, 8), "white").save(path)
    with pytest.raises(ValueError, match="not wholly on a 24 px canvas"):
        published.load_case(path, path, path, 8, 24, x, y)


def test_first_pass_terms_equal_their_formulas(small: Case, vgg: published.Vgg) -> None:
    z = _noise(small)
    found = published.first_pass_terms(z, small, vgg)
    blend = _composite(z[0].numpy(), small)
    assert found.keys() == {"gradient", "style", "content", "tv"}

    gradient = [((_laplacian(blend[c]) - small.guidance[c].numpy()) ** 2).mean() for c in range(3)]
    assert found["gradient"].item() == pytest.approx(1e4 * np.mean(gradient))

    raw, target = (vgg(image) for image in (z, small.target))
    style = [((_gram(raw[tap]) - _gram(target[tap])) ** 2).mean() for tap in ("relu1_2", "relu2_2")]
    assert found["style"].item() == pytest.approx(1e4 * np.mean(style))

    mask = small.mask.numpy()
    ours, theirs = (
        vgg(torch.from_numpy(image * mask)[None])["relu2_2"].numpy()
        for image in (blend[:, 3:9, 2:8], small.source[0].numpy())
    )
    assert found["content"].item() == pytest.approx(((ours - theirs) ** 2).mean())

    variation = np.abs(np.diff(blend, axis=1)).sum() + np.abs(np.diff(blend, axis=2)).sum()
    assert found["tv"].item() == pytest.approx(1e-6 * variation)


def test_style_alone_sees_pixels_outside_the_mask_in_the_first_pass(small: Case, vgg: published.Vgg) -> None:
    z = _noise(small)
    other = torch.where(small.canvas_mask > 0, z, 255 - z)
    a, b = (published.first_pass_terms(image, small, vgg) for image in (z, other))
    assert {name for name in a if a[name] != b[name]} == {"style"}


def test_pasted_source_has_no_content_term_and_target_no_style_term(small: Case, vgg: published.Vgg) -> None:
    pasted = small.target.clone()
    pasted[:, :, 3:9, 2:8] = small.source
    assert published.first_pass_terms(pasted, small, vgg)["content"] == 0
    assert published.first_pass_terms(small.target, small, vgg)["style"] == 0


def test_first_pass_runs_the_network_four_times_in_an_evaluation(small: Case, vgg: published.Vgg) -> None:
    sizes: list[tuple[int, ...]] = []
    handle = vgg.register_forward_hook(lambda _, inputs, __: sizes.append(tuple(inputs[0].shape[2:])))
    published.first_pass_terms(_noise(small), small, vgg)
    handle.remove()
    assert sorted(sizes) == [(6, 6), (6, 6), (12, 12), (12, 12)]


def test_second_pass_terms_equal_their_formulas(small: Case, vgg: published.Vgg) -> None:
    z, first = _noise(small, 1), _noise(small, 2)
    found = published.second_pass_terms(z, first, small, vgg, tv_weight=0.5, histogram_weight=2)
    own, held, target = (vgg(image) for image in (z, first, small.target))
    taps = ("relu1_2", "relu2_2")
    style = [((_gram(own[tap]) - _gram(target[tap])) ** 2).mean() for tap in taps]
    assert found["style"].item() == pytest.approx(1e7 * np.mean(style))
    content = ((own["relu2_2"] - held["relu2_2"]) ** 2).mean()
    assert found["content"].item() == pytest.approx(content.item())
    variation = np.abs(np.diff(z[0].numpy(), axis=1)).sum() + np.abs(np.diff(z[0].numpy(), axis=2)).sum()
    assert found["tv"].item() == pytest.approx(0.5 * variation)
    # Sorted against sorted: the distance between two samples matched by rank.
    matched = [((np.sort(own[t].flatten(2)) - np.sort(target[t].flatten(2))) ** 2).mean() for t in taps]
    assert found["histogram"].item() == pytest.approx(2 * np.mean(matched))
    assert published.second_pass_terms(z, first, small, vgg).keys() == {"style", "content"}


def test_image_compared_with_itself_has_neither_content_nor_a_pull(small: Case, vgg: published.Vgg) -> None:
    z = _noise(small, 1).requires_grad_(True)
    content = published.second_pass_terms(z, _noise(small, 2), small, vgg, zero_content=True)["content"]
    (pull,) = torch.autograd.grad(content, z)
    assert content == 0
    assert not pull.any()


@pytest.mark.parametrize("zero_content", [False, True])
def test_gradients_equal_finite_differences(small: Case, vgg: published.Vgg, zero_content: bool) -> None:
    point, first = _noise(small, 1), _noise(small, 2)
    direction = torch.randn(point.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def both(z: Tensor) -> Tensor:
        terms = published.first_pass_terms(z, small, vgg)
        more = published.second_pass_terms(z, first, small, vgg, zero_content=zero_content, tv_weight=1)
        return torch.stack([*terms.values(), *more.values()]).log1p().sum()

    z = point.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(both(z), z)
    step = 1e-6
    wanted = (both(point + step * direction) - both(point - step * direction)) / (2 * step)
    assert (slope * direction).sum().item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize(("num_steps", "evaluations"), [(0, 20), (19, 20), (20, 40)])
def test_steps_of_twenty_evaluations_until_their_number_exceeds_the_wanted(
    num_steps: int, evaluations: int
) -> None:
    seen: list[int] = []
    scale = torch.arange(1.0, 65.0).view(1, 1, 8, 8)
    published.optimised(
        torch.ones(1, 1, 8, 8),
        lambda z: {"bowl": (scale * z**2).sum() + (z**4).sum()},
        num_steps,
        lambda i, terms, z: seen.append(i),
    )
    assert seen == list(range(1, evaluations + 1))


def test_first_step_is_down_the_gradient_by_one_over_its_sum(small: Case, vgg: published.Vgg) -> None:
    points: list[Tensor] = []
    start = _noise(small)
    published.run_first_pass(small, vgg, 0, start, lambda i, terms, z: points.append(z.clone()))
    z = start.clone().requires_grad_(True)
    terms = published.first_pass_terms(z, small, vgg)
    (slope,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), z)
    # PyTorch's first step length with lr 1: min(1, 1 / |gradient|₁).
    torch.testing.assert_close(points[0], start)
    torch.testing.assert_close(points[1], start - slope * min(1.0, 1 / slope.abs().sum().item()))


def test_first_pass_keeps_the_target_outside_and_is_told_by_its_seed(small: Case) -> None:
    case = small.to(torch.float32)
    network = published.plain_vgg16(_state("vgg16", 9), ("relu1_2", "relu2_2"))
    noise = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(7))
    ends = [
        published.run_first_pass(case, network, 0, seed=7),
        published.run_first_pass(case, network, 0, noise),
        published.run_first_pass(case, network, 0, seed=8),
    ]
    outside = case.canvas_mask == 0
    for end in ends:
        assert torch.equal(end[..., outside], case.target[..., outside])
        assert end.min() >= 0
        assert end.max() <= 255
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_second_pass_starts_at_the_first_picture_and_ends_in_range(small: Case, vgg: published.Vgg) -> None:
    first = _noise(small)
    points: list[Tensor] = []
    terms: list[dict[str, float]] = []

    def record(i: int, values: dict[str, float], z: Tensor) -> None:
        points.append(z.clone())
        terms.append(values)

    end = published.run_second_pass(small, vgg, first, 0, record, tv_weight=1e-6)
    assert torch.equal(points[0], first)
    assert terms[0]["content"] == 0
    assert terms[0].keys() == {"style", "content", "tv"}
    assert end.min() >= 0
    assert end.max() <= 255


def test_everything_follows_the_device_of_the_case(small: Case) -> None:
    meta = torch.device("meta")
    case = small.to(torch.float32).to(meta)
    network = published.plain_vgg16(_state("vgg16", 9), ("relu1_2", "relu2_2")).to(meta)
    z = torch.empty_like(case.target)
    terms = [
        *published.first_pass_terms(z, case, network).values(),
        *published.second_pass_terms(z, z, case, network, tv_weight=1, histogram_weight=1).values(),
    ]
    assert {term.device for term in terms} == {meta}
