"""One declaration makes flag, check and conversion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from deep_image_blending.declaration import Option, check, chosen, option, options_of
from deep_image_blending.errors import InputError
from deep_image_blending.options.catalogue import catalogue


@dataclass(frozen=True)
class Sample:
    count: int = option(3, "How many.", "Method", low=1, high=9)
    share: float | None = option(None, "Which share.", "Method", above=0, high=1)
    kind: Literal["round", "square"] = option("round", "Which kind.", "Method")
    names: tuple[str, ...] | None = option(None, "Names.", "Method")
    place: Path | None = option(None, "Where.", "Method")
    loud: bool = option(False, "Loud.", "Method")

    def __post_init__(self) -> None:
        check(self)


def test_a_field_declares_its_flag_type_and_choices() -> None:
    declared = options_of(Sample)
    assert [one.flag for one in declared.values()] == [
        "--count",
        "--share",
        "--kind",
        "--names",
        "--place",
        "--loud",
    ]
    assert [one.kind for one in declared.values()] == ["whole number", "number", "word", "list", "path", "switch"]
    assert declared["kind"].choices == ("round", "square")
    assert declared["count"].range == "1 to 9"
    assert declared["share"].range == "above 0, up to 1"


def test_text_and_python_values_become_the_declared_type() -> None:
    made = chosen(Sample, {"count": "4", "share": "0.5", "names": "a, b", "place": "x/y", "unknown": 3})
    assert made == Sample(4, 0.5, "round", ("a", "b"), Path("x/y"))
    assert chosen(Sample, {"count": 4.0, "names": ["a", "b"], "loud": "True"}) == Sample(
        4, names=("a", "b"), loud=True
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"count": 0}, "--count 0 is out of range; give 1 to 9"),
        ({"count": "4.5"}, "--count '4.5' is not a whole number"),
        ({"count": math.nan}, "--count nan is not a whole number"),
        ({"count": True}, "--count True is not a number"),
        ({"share": 0}, "--share 0 is out of range; give above 0, up to 1"),
        ({"share": math.inf}, "--share inf is out of range"),
        ({"kind": "rund"}, "did you mean 'round'"),
        ({"names": 3}, "--names 3 is not a list of names"),
        ({"loud": "perhaps"}, "--loud 'perhaps': give True or False"),
    ],
)
def test_what_is_not_declared_is_refused_in_one_line(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as raised:
        chosen(Sample, given)
    assert words in str(raised.value)


def test_a_pair_gives_each_pass_its_own() -> None:
    pair = Option("weight", "number", 0.0, "Weight.", "Losses", low=0, pair=True)
    assert pair.for_passes("1,2", 2) == pair.for_passes((1, 2), 2) == [1.0, 2.0]
    assert pair.for_passes(3, 2) == [3.0, 3.0]
    assert pair.for_passes(None, 2) == [None, None]
    with pytest.raises(InputError, match="one for each pass"):
        pair.for_passes("1,2,3", 2)


@pytest.mark.parametrize("name", [name for name, one in catalogue().items() if one.kind.endswith("number")])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "x", "1e999"])
def test_every_number_of_every_option_is_checked(name: str, value: str) -> None:
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')} "):
        catalogue()[name].coerced(value)


def test_a_large_seed_keeps_its_digits() -> None:
    assert catalogue()["seed"].coerced("9007199254740993") == 9007199254740993
