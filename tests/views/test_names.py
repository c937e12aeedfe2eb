"""Names are as short as leaves them distinct."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deep_image_blending.views.names import distinct_names

PATHS = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["results/cat"], ["cat"]),
        (["results/cat", "results/dog"], ["cat", "dog"]),
        (["results/cat/run", "results/dog/run"], ["cat/run", "dog/run"]),
        (["a/x/run", "b/x/run", "b/y/run"], ["a/x/run", "b/x/run", "y/run"]),
        (["results/cat/", "./results/dog/../dog"], ["cat", "dog"]),
        (["results/cat", "results/cat"], ["cat", "cat"]),
        (["one.png", "two.png"], ["one.png", "two.png"]),
        ([], []),
    ],
)
def test_names_are_shortened_from_the_left(paths: list[str], names: list[str]) -> None:
    assert distinct_names([Path(path) for path in paths]) == names


def test_a_path_that_ends_as_another_is_told_apart_by_more_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert distinct_names([Path("cat"), Path("there/cat"), Path(), Path("..")]) == [
        "here/cat",
        "there/cat",
        "here",
        tmp_path.name,
    ]
    assert distinct_names([Path("/run"), Path("/a/run")]) == ["/run", "a/run"]


@given(PATHS)
def test_names_are_as_distinct_as_the_paths_and_ends_of_them(parts: list[list[str]]) -> None:
    paths = [Path("/", *one) for one in parts]
    names = distinct_names(paths)
    assert len(set(names)) == len(set(paths))
    for path, name in zip(paths, names, strict=True):
        assert str(path).endswith(name)
        assert name == str(path) or str(path)[-len(name) - 1] == os.sep
