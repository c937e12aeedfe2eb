"""The doctor finds what is there, names the remedy for what is not, and changes nothing."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import imageio_ffmpeg
import pytest
import torch

from deep_image_blending.cli import findings as doctor
from deep_image_blending.cli.app import run_command
from deep_image_blending.networks import backbones, embedded


def _found(name: str) -> doctor.Finding:
    (one,) = [one for one in doctor.findings() if one.name == name]
    return one


def test_a_whole_installation_is_fine_and_names_its_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["fine"]
    found = {entry["name"]: entry for entry in report["findings"]}
    assert len(found) == len(report["findings"])
    for package in ("torch", "numpy", "pillow", "safetensors", "filelock", "imageio-ffmpeg"):
        assert found[package]["found"] == metadata.version(package)
    assert "pytest" not in found
    assert found["cpu"]["fine"]
    assert found["demo pictures"]["found"] == "coffee, portrait, rocket, shuttle"
    assert imageio_ffmpeg.get_ffmpeg_version() in found["ffmpeg"]["found"]


def test_lines_say_ok_or_missing_and_a_missing_part_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [doctor.Finding("here", "1.0 [really]"), doctor.Finding("gone", "missing", "pip install gone")]
    monkeypatch.setattr(doctor, "findings", lambda: parts)
    assert run_command(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ok", "here", "1.0", "[really]"]
    assert lines[1].startswith("MISSING  gone")
    assert lines[1].endswith("missing; pip install gone")
    assert run_command(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report == {
        "fine": False,
        "findings": [
            {"name": "here", "found": "1.0 [really]", "fine": True, "remedy": ""},
            {"name": "gone", "found": "missing", "fine": False, "remedy": "pip install gone"},
        ],
    }


def test_a_missing_package_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version

    def without(name: str) -> str:
        if name in ("torch", "scipy"):
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    assert _found("scipy") == doctor.Finding("scipy", "missing", "pip install scipy")
    # Without torch there are no devices to ask for, and no weights to check.
    assert not {"cpu", "embedded weights"} & {one.name for one in doctor.findings()}


def test_without_torch_the_doctor_still_answers() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from importlib import metadata; version = metadata.version\n"
        "def without(name):\n    if name == 'torch': raise metadata.PackageNotFoundError(name)\n"
        "    return version(name)\n"
        "metadata.version = without\n"
        "from deep_image_blending.cli import run_command; sys.exit(run_command(['doctor']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "missing; pip install torch" in done.stdout
    assert done.stderr == ""


def test_cached_weights_are_checked_by_the_hash_in_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"weights"
    whole = tmp_path / f"vgg16-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    whole.write_bytes(data)
    damaged = tmp_path / "vgg19-00000000.pth"
    damaged.write_bytes(data)
    cached = {"vgg16": whole, "vgg19": damaged, "resnet50": None}
    monkeypatch.setattr(backbones, "cached_weights", cached.get)
    assert _found("vgg16 weights") == doctor.Finding("vgg16 weights", str(whole))
    assert _found("vgg19 weights").remedy == "delete it, and it is fetched again"
    assert str(damaged) in _found("vgg19 weights").found
    # Weights that can be fetched when they are needed are not missing.
    assert _found("resnet50 weights").fine
    assert "not cached" in _found("resnet50 weights").found


def test_bytecode_that_is_not_kept_is_said_with_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    source = package / "__init__.py"
    source.write_text("value = 1\n")
    spec = importlib.util.spec_from_file_location("torch", source)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    said = _found("bytecode")
    assert said.fine
    assert not list(package.glob("*/*.pyc"))
    command = shlex.split(said.found.rpartition("run once: ")[2])
    subprocess.run(command, check=True)
    assert _found("bytecode").found == "PyTorch's is kept"


def test_damaged_embedded_weights_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt = tmp_path / "weights.safetensors"
    data = bytearray(embedded.WEIGHTS.read_bytes())
    data[-1] ^= 1
    spoilt.write_bytes(data)
    monkeypatch.setattr(embedded, "WEIGHTS", spoilt)
    assert not _found("embedded weights").fine
    assert "reinstall" in _found("embedded weights").remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_can_not_be_written_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    assert "TORCH_HOME" in _found("weights cache").remedy


def test_the_cache_is_looked_at_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    assert _found("weights cache").fine
    assert list(tmp_path.iterdir()) == []


def test_ffmpeg_is_run_and_must_have_its_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poor = tmp_path / "ffmpeg"
    poor.write_text("#!/bin/sh\necho ' V..... gif'\n")
    poor.chmod(0o755)
    for executable, word in ((poor, "no libx264"), (tmp_path / "none", "No such file")):
        monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda path=executable: str(path))
        assert word in _found("ffmpeg").found
        assert "only gif and webp" in _found("ffmpeg").remedy


def test_a_full_disk_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    assert _found("disk").found == "0.0 GiB free here"
    assert "--output-dir" in _found("disk").remedy
