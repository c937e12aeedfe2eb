"""What the machines of a cluster are made of names what there is, as the package itself says it."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile and what it says, continued lines joined."""
    lines = [line for line in (ROOT / "deploy/Dockerfile").read_text().splitlines() if not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest) for line in whole.splitlines() if line for word, _, rest in [line.partition(" ")]]


def _said(instruction: str) -> list[str]:
    return [rest for word, rest in _instructions() if word == instruction]


def test_what_is_copied_is_all_that_the_package_is_built_from() -> None:
    copied = {path: target for said in _said("COPY") for *paths, target in [said.split()] for path in paths}
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    kept = subprocess.run(["git", "ls-files", *copied], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = {line.partition("/")[0] for line in kept.stdout.splitlines()}
    assert tracked == set(copied)
    assert set(copied) == {"pyproject.toml", "deep_image_blending", PROJECT["readme"], *PROJECT["license-files"]}
    # A folder's content goes into the folder that is named.
    assert copied["deep_image_blending"] == "./deep_image_blending"


def test_bounds_and_extras_are_the_packages_own() -> None:
    own = {one.name: one.specifier for one in map(Requirement, PROJECT["dependencies"])}
    (run,) = [said for said in _said("RUN") if "pip install" in said]
    given = (word.rstrip(";") for word in shlex.split(run))
    words = [word for word in given if re.fullmatch(r"[\w.-]+(\[\w+])?(<[\d.]+)?", word)]
    bounded = [Requirement(word) for word in words if "<" in word]
    assert [one.name for one in bounded] == ["torch", "torchvision"]
    for one in bounded:
        assert set(one.specifier) <= set(own[one.name])
    (extra,) = [word for word in words if word.startswith(".[")]
    assert extra[2:-1] in PROJECT["optional-dependencies"]
    (base,) = _said("FROM")
    (version,) = re.findall(r"python:(\d+\.\d+)-slim", base)
    assert version in SpecifierSet(PROJECT["requires-python"])


def test_the_image_begins_with_a_command_of_the_package() -> None:
    (command,) = _said("CMD")
    assert json.loads(command)[0] in PROJECT["scripts"]


def test_the_clusters_file_is_as_the_launcher_wants_it() -> None:
    yaml, jsonschema = pytest.importorskip("yaml"), pytest.importorskip("jsonschema")
    found = importlib.util.find_spec("ray")
    if found is None or found.origin is None:
        pytest.skip("needs the extra batch")
    schema = json.loads((Path(found.origin).parent / "autoscaler/ray-schema.json").read_text())
    said: dict[str, Any] = yaml.safe_load((ROOT / "deploy/cluster.yaml").read_text())
    jsonschema.validate(said, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**said, "idle_timeout_minuets": 5}, schema)
    assert said["head_node_type"] in said["available_node_types"]
    assert "docker build -f deploy/Dockerfile -t deep-image-blending ." in (ROOT / "deploy/Dockerfile").read_text()
    assert said["docker"]["image"].rpartition("/")[2].partition(":")[0] == "deep-image-blending"
