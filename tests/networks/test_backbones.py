"""Backbones: what is declared of them, and the two that ship with the package."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from deep_image_blending.errors import InputError, RunError
from deep_image_blending.losses.content import apply_head
from deep_image_blending.networks import embedded
from deep_image_blending.networks.backbones import (
    BACKBONES,
    DECLARED,
    cached_weights,
    default_taps,
    load_backbone,
)
from tools.embedded.network import Student

from .narrow import every_backbone

PROMISED = {
    *("embedded", "random", "alexnet", "squeezenet1_0", "squeezenet1_1"),
    *(f"vgg{depth}{suffix}" for depth in (11, 13, 16, 19) for suffix in ("", "_bn")),
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
}


def test_backbones_are_listed_without_torch() -> None:
    code = (
        "import sys; from deep_image_blending.networks.backbones import BACKBONES, default_taps; "
        "[default_taps(name) for name in BACKBONES]; assert 'torch' not in sys.modules; print(*BACKBONES)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == set(BACKBONES) >= PROMISED


@pytest.mark.parametrize("name", every_backbone())
def test_default_taps_exist(name: str) -> None:
    style, content = default_taps(name)
    network = load_backbone(name, {*style, content}, planning=True).network
    assert {*style, content} <= set(network.named())
    assert DECLARED[name].help


@pytest.mark.parametrize(
    ("name", "taps", "words"),
    [
        ("vgg17", {"relu1_2"}, "did you mean 'vgg1"),
        ("vgg16", {"relu9_9"}, "it has relu1_1"),
        ("random", {"x"}, "it has"),
        ("densenet121", {"x"}, r"can't be a backbone: its batch normalisation .* choose one of embedded, .*vgg19"),
        ("efficientnet_b0", {"x"}, r"can't be a backbone: it contains SiLU"),
    ],
)
def test_unknown_backbones_and_layers_are_named(name: str, taps: set[str], words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        load_backbone(name, taps)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["embedded", "random", "resnet18", "squeezenet1_1"])
def test_what_is_the_networks_own_business_is_no_tap(name: str) -> None:
    style, _ = default_taps(name)
    network = load_backbone(name, set(style), planning=True).network
    hidden = [layer.output for layer in network.layers if layer.output not in network.named()]
    assert hidden
    for tap in (*hidden, "image"):
        with pytest.raises(InputError, match=f"has no layer '{tap}'") as raised:
            load_backbone(name, {tap}, planning=True)
        assert hidden[0] not in str(raised.value).partition("it has")[2]


def test_a_backbone_that_ships_takes_no_weights(tmp_path: Path) -> None:
    for name in ("embedded", "random"):
        assert cached_weights(name) is None
        with pytest.raises(InputError, match="brings its own"):
            load_backbone(name, {"relu1_2"}, weights=tmp_path / "w.pth")


def test_random_filters_are_the_same_every_time() -> None:
    a, b = load_backbone("random", {"relu3_3"}), load_backbone("random", {"relu3_3"})
    assert a.sha256 == b.sha256
    for name, (weight, _) in a.network.parameters.items():
        assert torch.equal(weight, b.network.parameters[name][0])


def test_embedded_network_is_the_trained_module() -> None:
    student = Student()
    student.load_state_dict(embedded.load())
    found = load_backbone("embedded", set(embedded.TAPS))
    pixels = torch.rand(1, 3, 36, 44) * 255
    ours = found.network.features(pixels, set(embedded.TAPS))
    theirs = student(found.network.normalisation(pixels))
    for tap in embedded.TAPS:
        assert (ours[tap] - theirs[tap]).norm() <= 1e-5 * theirs[tap].norm()
        wide = apply_head(ours[tap], found.network.heads[tap])
        assert (wide - student.predict(tap, theirs[tap])).norm() <= 1e-4 * wide.norm()
        flat = wide.flatten(2)[0]
        gram = flat @ flat.T / flat.shape[1]
        assert (gram - student.gram(tap, theirs[tap])[0]).norm() <= 1e-4 * gram.norm()
    assert found.sha256 == embedded.SHA256
    assert sum(value.numel() for value in embedded.load().values()) < 500_000
    assert embedded.WEIGHTS.stat().st_size <= 1_000_000


def test_damaged_embedded_weights_are_refused(tmp_path: Path) -> None:
    data = bytearray(embedded.WEIGHTS.read_bytes())
    data[5000] ^= 1
    (tmp_path / "w.safetensors").write_bytes(data)
    with pytest.raises(RunError, match="damaged"):
        embedded.load(tmp_path / "w.safetensors")
    with pytest.raises(RunError, match="missing"):
        embedded.load(tmp_path / "none.safetensors")
    wrong = tmp_path / "shapes.safetensors"
    save_file({"stage1.conv1.weight": torch.zeros(2, 3, 3, 3)}, wrong)
    with pytest.raises(RunError, match="other shapes"):
        embedded.load(wrong, hashlib.sha256(wrong.read_bytes()).hexdigest())


@pytest.mark.weights
def test_embedded_features_predict_the_teachers(vgg19_weights: Path) -> None:
    from skimage import data

    teacher = load_backbone("vgg19", set(embedded.TAPS), weights=vgg19_weights).network
    found = load_backbone("embedded", set(embedded.TAPS)).network
    image = torch.from_numpy(data.cat()[:160, 60:260].copy()).permute(2, 0, 1)[None].float()
    ours, theirs = (net.features(image, set(embedded.TAPS)) for net in (found, teacher))
    for tap in embedded.TAPS:
        error = apply_head(ours[tap], found.heads[tap]) - theirs[tap]
        assert error.square().sum() < 0.75 * theirs[tap].square().sum(), tap
