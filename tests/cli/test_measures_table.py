"""The table of measures fits its terminal: what explains the numbers goes first, and names from the left."""

from __future__ import annotations

import pytest

from deep_image_blending.cli.measures_table import print_measures
from deep_image_blending.measures import MEASURES

LONG = "a" * 60


def _printed(
    width: int, names: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    print_measures({name: dict.fromkeys(MEASURES, 1.25e-7) for name in names}, json=False)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("width", "count", "explained"),
    [(40, 1, ()), (60, 1, ("better",)), (60, 2, ("better",)), (80, 2, ("better", "meaning"))],
)
def test_a_narrow_terminal_shows_the_numbers_and_the_ends_of_names(
    width: int,
    count: int,
    explained: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = _printed(width, [f"{LONG}_{i}" for i in range(count)], monkeypatch, capsys)
    lines = shown.splitlines()
    assert max(map(len, lines)) <= width
    assert lines[1].split("┃")[1:-1][0].strip() == "measure"
    for i in range(count):
        assert lines[1].split("┃")[2 + i].strip().endswith(f"a_{i}")
    assert tuple(cell.strip() for cell in lines[1].split("┃")[2 + count : -1]) == explained
    for name in MEASURES:
        assert shown.count(f"│ {name} ") == 1
    assert shown.count("1.25e-07") == count * len(MEASURES)


def test_names_stay_distinct_though_their_ends_are_alike(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{letter}/{'same' * 8}" for letter in "xyz"]
    heading = _printed(80, names, monkeypatch, capsys).split("┡")[0].replace(" ", "").replace("┃", "")
    assert all(f"{letter}/" in heading for letter in "xyz")
