"""Options: presets, validation, and the way to run.json and back."""

from __future__ import annotations

import dataclasses
import json

import pytest

from deep_image_blending.errors import InputError
from deep_image_blending.options.pass_options import PassOptions, Weights
from deep_image_blending.options.presets import names, preset
from deep_image_blending.options.stored import options_from, options_to_dict
from deep_image_blending.passes import evaluations_of
from deep_image_blending.pictures.placement import Placement


@pytest.mark.parametrize("name", names())
def test_options_survive_json(name: str) -> None:
    options = preset(name)
    assert options_from(json.loads(json.dumps(options_to_dict(options))), "run.json") == options


def test_wacv2020_has_the_published_numbers() -> None:
    options = preset("wacv2020")
    assert options.first.weights == Weights(gradient=1e4, style=1e4, content=1, histogram=0, tv=1e-6)
    assert options.second.weights["style"] == 1e7
    assert options.second.weights["content"] == 1
    assert options.first.style_layers == ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
    assert (options.init, options.first.line_search, options.first.history) == ("noise", "fixed", 100)


@pytest.mark.parametrize(("steps", "evaluations"), [(1, 20), (19, 20), (20, 40), (1000, 1020), (1100, 1120)])
def test_published_steps_are_rounded_as_the_published_loop_does(steps: int, evaluations: int) -> None:
    first = dataclasses.replace(preset("wacv2020").first, num_steps=steps)
    assert evaluations_of(first) == evaluations
    assert evaluations_of(dataclasses.replace(preset("natural").first, num_steps=steps)) == steps


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: preset("natrual"), "did you mean 'natural'"),
        (lambda: preset("zzz"), "choose one of natural, painterly, wacv2020, resnet"),
        (lambda: Weights(style=-1), "--style-weight"),
        (lambda: Weights(gradient=float("nan")), "--grad-weight"),
        (lambda: PassOptions(num_steps=0, weights=Weights(), backbone="random"), "--num-steps 0"),
        (lambda: PassOptions(num_steps=5, weights=Weights(), backbone="random", history=0), "--history"),
        (lambda: PassOptions(num_steps=5, weights=Weights(), backbone="random", palette=1.1), "--palette 1.1"),
        (
            lambda: PassOptions(num_steps=5, weights=Weights(), backbone="random", grain=float("nan")),
            "--grain nan",
        ),
        (lambda: Placement(ss=0), "--ss 0"),
        (lambda: Placement(ts=-4), "--ts -4"),
        (lambda: Placement(x=float("inf")), "--x inf"),
        (lambda: Placement(feather=-1), "--feather"),
        (lambda: options_from({"presett": "natural"}, "run.json"), "did you mean 'preset'"),
    ],
)
def test_bad_options_name_the_option(make, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        make()


def test_fingerprint_changes_with_what_decides_the_pass_alone() -> None:
    options = preset("natural")
    other_second = options.with_pass("second_pass", dataclasses.replace(options.second, num_steps=3))
    other_first = options.with_pass("first_pass", dataclasses.replace(options.first, num_steps=3))
    assert other_second.fingerprint("first_pass") == options.fingerprint("first_pass")
    assert other_first.fingerprint("first_pass") != options.fingerprint("first_pass")
