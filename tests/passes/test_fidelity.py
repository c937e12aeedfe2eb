"""Preset wacv2020 is the published objective, number for number."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from deep_image_blending import passes
from deep_image_blending.networks.backbones import load_backbone, with_normalisation
from deep_image_blending.networks.network import PUBLISHED
from deep_image_blending.objectives.kinds import kind_of
from deep_image_blending.objectives.objective import Setting
from deep_image_blending.options import presets, run_options
from deep_image_blending.pictures import load_mask, load_picture
from deep_image_blending.pictures.scene import compose_scene
from deep_image_blending.solve.loop import Evaluation
from tests import published
from tests.conftest import Case

SS, TS, X, Y = 30, 52, 24, 27


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VGG-16 with random weights, its first convolutions as torchvision initialises them."""
    torch.manual_seed(11)
    weights = torchvision.models.vgg16(weights=None).features.state_dict()
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save({f"features.{key}": value for key, value in weights.items()}, path)
    return path


def _options(steps: int = 20) -> run_options.Options:
    base = presets.preset("wacv2020")
    return dataclasses.replace(
        base,
        placement=dataclasses.replace(base.placement, ss=SS, ts=TS, x=X, y=Y),
        first=dataclasses.replace(base.first, num_steps=steps),
        second=dataclasses.replace(base.second, num_steps=steps),
    )


def _scene(case: Case, options: run_options.Options):
    return compose_scene(
        load_picture(case.source), load_mask(case.mask), load_picture(case.target), options.placement
    )


def test_placement_resampling_and_guidance_are_the_published_ones(case: Case) -> None:
    scene = _scene(case, _options())
    plain = published.load_case(case.source, case.mask, case.target, SS, TS, X, Y)
    assert (scene.top, scene.left) == (plain.top, plain.left)
    np.testing.assert_array_equal(scene.source, plain.source[0].permute(1, 2, 0))
    np.testing.assert_array_equal(scene.mask, plain.mask)
    np.testing.assert_array_equal(scene.target.pixels, plain.target[0].permute(1, 2, 0))


@pytest.mark.parametrize("zero_content", [False, True])
def test_terms_and_gradients_equal_the_plain_restatement(case: Case, state: Path, zero_content: bool) -> None:
    options = _options()
    scene = _scene(case, options)
    # In float64: rounding would put some activations of the two on different sides of a rectifier's kink.
    plain = published.load_case(case.source, case.mask, case.target, SS, TS, X, Y)
    plain = dataclasses.replace(
        plain, source=plain.source.double(), mask=plain.mask.double(), target=plain.target.double()
    )
    vgg = published.Vgg(torch.load(state, weights_only=True)).double()
    network = load_backbone("vgg16", passes.wanted_taps(options.first), weights=state).network
    network = with_normalisation(network.to(torch.device("cpu"), torch.float64), PUBLISHED)
    window = scene.window(None)
    torch.manual_seed(5)
    first = (plain.target * 0.8 + 20).float()
    starts = {
        "noise": torch.randn_like(plain.target),
        "picture": plain.target + 30 * torch.randn_like(plain.target),
    }
    for start in starts.values():
        for name in ("first_pass", "second_pass"):
            pass_options = dataclasses.replace(options.of(name), reproduce_zero_content=zero_content)
            begun = first[0].permute(1, 2, 0).numpy()
            objective = kind_of(pass_options.objective).build(
                Setting(name, scene, window, pass_options, network, begun, torch.device("cpu"), passes.Prepared())
            )
            ours_x = start.reshape(3, -1).clone().requires_grad_(True)
            ours = objective.terms(ours_x)
            theirs_x = start.clone().requires_grad_(True)
            if name == "first_pass":
                theirs = published.first_pass_terms(theirs_x, plain, vgg)
            else:
                theirs = published.second_pass_terms(
                    theirs_x, first.double(), plain, vgg, zero_content=zero_content
                )
            assert ours.keys() == theirs.keys()
            for term, value in theirs.items():
                torch.testing.assert_close(ours[term], value, rtol=1e-4, atol=1e-12)
            (a,) = torch.autograd.grad(torch.stack(list(ours.values())).sum(), ours_x)
            (b,) = torch.autograd.grad(torch.stack(list(theirs.values())).sum(), theirs_x)
            assert (a.view_as(b) - b).norm() <= 1e-4 * b.norm()


def test_evaluations_and_first_iterates_are_the_published_ones(case: Case, state: Path) -> None:
    options = _options(steps=19)
    scene = _scene(case, options)
    plain = published.load_case(case.source, case.mask, case.target, SS, TS, X, Y)
    vgg = published.Vgg(torch.load(state, weights_only=True))
    generator = torch.Generator().manual_seed(options.seed)
    start = torch.randn(3, TS, TS, generator=generator)[None]
    theirs: list[float] = []
    end = published.run_first_pass(plain, vgg, 19, start, lambda i, terms, z: theirs.append(sum(terms.values())))
    ours: list[Evaluation] = []
    backbone = load_backbone("vgg16", passes.wanted_taps(options.first), weights=state)
    result = passes.first_pass(scene, options, backbone, conduct=passes.Conduct((ours.append,)))
    assert len(ours) == len(theirs) == 20
    np.testing.assert_allclose([record.total for record in ours], theirs, rtol=1e-3)
    assert np.abs(result.picture - end[0].permute(1, 2, 0).numpy()).max() < 0.5
    assert passes.evaluations_of(presets.preset("wacv2020").first) == 1020
