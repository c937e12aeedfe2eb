"""The loss table of a pass as text: a row an evaluation, a column a loss. `directory.py` writes it.

Readers go by the header, so that a table of an earlier version, with fewer losses, stays readable.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from deep_image_blending.errors import InputError
from deep_image_blending.losses.declaration import declared

_FIRST = ("evaluation", "seconds", "total")


def columns() -> tuple[str, ...]:
    """The header of a table that is written."""
    return (*_FIRST, *declared())


def as_csv(rows: Sequence[Mapping[str, float]]) -> bytes:
    """The table; a loss that the pass does not have is empty. Rows of another version keep their columns.

    >>> as_csv([{"evaluation": 1, "seconds": 0.5, "total": 2.0, "style": 2.0}]).decode().splitlines()[1][:16]
    '1,0.500000,2.0,,'
    """
    text = io.StringIO(newline="")
    header = dict.fromkeys((*columns(), *(key for row in rows for key in row)))
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _number(key, value) for key, value in row.items()})
    return text.getvalue().encode()


def read(path: Path) -> list[dict[str, float]]:
    """The rows; empty where there is no table. Raises InputError for a table that is not of numbers."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            table = csv.DictReader(stream)
            if not {"evaluation", "total"} <= set(table.fieldnames or ()):
                raise ValueError("no evaluations")
            return [_row(row) for row in table]
    except (ValueError, csv.Error) as error:
        raise InputError(f"loss table '{path}' is damaged; remove it, or make the pass again") from error


def _row(row: Mapping[str | None, str | None]) -> dict[str, float]:
    if None in row or None in row.values():
        raise ValueError("a row of another length")
    if not row["evaluation"] or not row["total"]:
        raise ValueError("a row without its evaluation or total")
    return {str(key): float(value) for key, value in row.items() if value}


def _number(key: str, value: float) -> str:
    if key == "evaluation":
        return str(int(value))
    return f"{value:.6f}" if key == "seconds" else repr(float(value))
