"""Annotations are what pycocotools reads back: outlines within a pixel, holes and hidden parts to the pixel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from deep_image_blending.batch.batch import Batch
from deep_image_blending.batch.blending import Limits, blend_row
from deep_image_blending.batch.coco import split_of
from deep_image_blending.batch.manifest import Shard, check
from deep_image_blending.batch.outlines import run_lengths, segmentation
from deep_image_blending.batch.progress import Tally
from deep_image_blending.batch.store import Store
from deep_image_blending.batch.task import Task, work
from deep_image_blending.errors import InputError
from tests.batch.made import TINY, tiny_rows, written

coco = pytest.importorskip("pycocotools.coco")


def _decoded(made: object, shape: tuple[int, int]) -> np.ndarray:
    from pycocotools import mask

    runs = mask.merge(mask.frPyObjects(made, *shape)) if isinstance(made, list) else made
    return np.asarray(mask.decode(runs), np.bool_)


@pytest.mark.parametrize("seed", range(12))
def test_run_lengths_are_those_of_the_reference(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = (int(random.integers(1, 90)), int(random.integers(1, 300)))
    field = ndimage.gaussian_filter(random.normal(size=shape), seed / 2)
    mask = field > np.quantile(field, random.uniform())
    np.testing.assert_array_equal(_decoded(run_lengths(mask), shape), mask)


def test_an_outline_is_exact_within_a_pixel() -> None:
    y, x = np.mgrid[:60, :80]
    mask = ((y - 25) ** 2 + (x - 30) ** 2 < 300) | ((y > 40) & (x > 55))
    made = segmentation(mask, whole=True)
    assert isinstance(made, list)
    assert len(made) == 2
    back = _decoded(made, mask.shape)
    assert not (back & ~ndimage.binary_dilation(mask, np.ones((3, 3)))).any()
    assert not (ndimage.binary_erosion(mask, np.ones((3, 3))) & ~back).any()


def test_holes_and_hidden_parts_are_run_lengths() -> None:
    mask = np.zeros((30, 30), np.bool_)
    mask[5:25, 5:25] = True
    assert isinstance(segmentation(mask, whole=True), list)
    assert isinstance(segmentation(mask, whole=False), dict)
    mask[10:15, 10:15] = False
    made = segmentation(mask, whole=True)
    np.testing.assert_array_equal(_decoded(made, mask.shape), mask)


def _made(tmp_path: Path, rows: list[dict[str, object]], root: str, shard: Shard, annotated: str | None) -> Store:
    """A shard of a batch, made here, without a cluster."""
    checked = check(str(written(tmp_path / "m.jsonl", rows)), pytest.fail)
    store = Store(root)
    for row in checked.read(shard):
        report = work(Task(row, root, Limits()))
        assert report.ending == "done", report
    Batch(checked, store, shard, split=split_of(annotated, 0), annotated=True).write_up(Tally(1))
    return store


def _rows(tmp_path: Path) -> list[dict[str, object]]:
    row = tiny_rows(tmp_path, 1)[0]
    files = {name: row[name] for name in ("source_file", "mask_file")}
    base = {"target_file": row["target_file"], **TINY}
    listed = [
        {**files, "x": 10, "y": 10, "category": "cup"},
        {**files, "x": 12, "y": 13, "category": "star"},
        {**files, "x": 18, "y": 18, "category": "other", "annotate": False},
    ]
    more = [{**base, "objects": listed[:1], "id": f"s{i}", "method": "paste", "feather": i} for i in range(3)]
    return [{**base, "objects": listed, "id": "three", "method": "feather"}, *more]


def test_annotations_are_read_back(tmp_path: Path) -> None:
    rows = _rows(tmp_path)
    _made(tmp_path, rows, str(tmp_path / "out"), Shard(), None)
    found = coco.COCO(str(tmp_path / "out/annotations.json"))
    assert [one["name"] for one in found.loadCats(found.getCatIds())] == ["cup", "star"]
    assert found.getCatIds() == [1, 2]
    assert len(found.getImgIds()) == 4
    image = next(one for one in found.dataset["images"] if "three" in one["file_name"])
    assert (tmp_path / "out" / image["file_name"]).is_file()
    entries = found.loadAnns(found.getAnnIds(imgIds=image["id"]))
    assert [one["category_id"] for one in entries] == [1, 2]
    (row,) = [row for row in check(str(tmp_path / "m.jsonl"), pytest.fail).read() if row.id == "three"]
    seen = blend_row(row, measured=False).objects
    for entry, one in zip(entries, seen, strict=False):
        mask = found.annToMask(entry).astype(np.bool_)
        if one.hidden:
            np.testing.assert_array_equal(mask, one.mask)
        else:
            assert not (mask & ~ndimage.binary_dilation(one.mask, np.ones((3, 3)))).any()
        assert entry["area"] == one.mask.sum()
        left, top, width, height = entry["bbox"]
        assert one.box == (top, left, top + height, left + width)
    assert seen[0].hidden
    assert not (seen[0].mask & seen[1].mask).any()


def test_feathering_leaves_the_annotation_as_it_is(tmp_path: Path) -> None:
    _made(tmp_path, _rows(tmp_path)[1:], str(tmp_path / "out"), Shard(), None)
    entries = json.loads((tmp_path / "out/annotations.json").read_text())["annotations"]
    assert len(entries) == 3
    assert len({(one["area"], tuple(one["bbox"]), str(one["segmentation"])) for one in entries}) == 1


def test_shards_merge_by_concatenation(tmp_path: Path) -> None:
    rows = _rows(tmp_path)
    _made(tmp_path, rows, str(tmp_path / "whole"), Shard(), None)
    whole = json.loads((tmp_path / "whole/annotations.json").read_text())
    parts = []
    for number in (1, 2):
        _made(tmp_path, rows, str(tmp_path / "parts"), Shard(number, 2), None)
        parts.append(json.loads((tmp_path / f"parts/annotations.{number}-of-2.json").read_text()))
    assert all(part["categories"] == whole["categories"] for part in parts)
    for kind in ("images", "annotations"):
        merged = [entry for part in parts for entry in part[kind]]
        assert sorted(merged, key=lambda one: one["id"]) == sorted(whole[kind], key=lambda one: one["id"])
        assert len({one["id"] for one in merged}) == len(merged)


def test_a_split_goes_by_scenes_and_is_seeded(tmp_path: Path) -> None:
    split = split_of("0.8,0.1,0.1", 0)
    parts = [split.part_of(str(i)) for i in range(4000)]
    assert [round(parts.count(i) / 4000, 1) for i in range(3)] == [0.8, 0.1, 0.1]
    assert parts != [split_of("0.8,0.1,0.1", 1).part_of(str(i)) for i in range(4000)]
    for text in ("0.8,0.1", "1", "a,b", "2,-1"):
        with pytest.raises(InputError, match="split"):
            split_of(text, 0)
    rows = [{**row, "scene": "same"} for row in _rows(tmp_path)[1:]]
    store = _made(tmp_path, rows, str(tmp_path / "out"), Shard(), "0.5,0.5")
    files = [json.loads(store.read(f"annotations_{part}.json")) for part in ("train", "val")]
    assert sorted(len(one["images"]) for one in files) == [0, 3]
