"""Backbones: what their weights must be, and that nothing but tensors is loaded."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from deep_image_blending.errors import InputError, RunError
from deep_image_blending.losses.content import apply_head
from deep_image_blending.networks import backbones, embedded
from deep_image_blending.networks.backbones import load_backbone
from deep_image_blending.networks.download import fetch


def _narrow_vgg(path: Path, depth: int = 2) -> Path:
    state, inputs = {}, 3
    for index, width in [(0, 64), (2, 64), (5, 128), (7, 128)][:depth]:
        state[f"features.{index}.weight"] = torch.randn(width, inputs, 3, 3)
        state[f"features.{index}.bias"] = torch.zeros(width)
        inputs = width
    save_file(state, path)
    return path


def test_layers_beyond_the_deepest_tap_may_be_absent(tmp_path: Path) -> None:
    path = _narrow_vgg(tmp_path / "vgg.safetensors")
    found = load_backbone("vgg16", {"relu1_2"}, weights=path)
    assert [layer.output for layer in found.network.layers] == ["relu1_1", "relu1_2"]
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=r"have no features\.5\.weight"):
        load_backbone("vgg16", {"relu2_2"}, weights=path)


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/deep_image_blending_was_here",)


def _bad_weights(folder: Path) -> dict[str, tuple[Path, str]]:
    (folder / "evil.pth").write_bytes(pickle.dumps({"features.0.weight": _Evil()}))
    (folder / "empty.pth").write_bytes(b"")
    (folder / "text.safetensors").write_text("no tensors here")
    torch.save([1, 2, 3], folder / "list.pth")
    save_file(
        {"features.0.weight": torch.randn(8, 4, 3, 3), "features.0.bias": torch.zeros(8)},
        folder / "shape.safetensors",
    )
    return {
        "missing": (folder / "none.pth", "does not exist"),
        "folder": (folder, "is a folder"),
        "pickle": (folder / "evil.pth", "evil.pth"),
        "empty": (folder / "empty.pth", "empty.pth"),
        "text": (folder / "text.safetensors", "damaged"),
        "list": (folder / "list.pth", "not a state dict"),
        "another architecture": (folder / "shape.safetensors", "are not vgg16's"),
    }


def test_bad_weights_are_one_line_and_never_run(tmp_path: Path) -> None:
    for case, (path, words) in _bad_weights(tmp_path).items():
        with pytest.raises(InputError) as raised:
            load_backbone("vgg16", {"relu1_2"}, weights=path)
        assert words in str(raised.value), (case, str(raised.value))
        assert "\n" not in str(raised.value)
    assert not Path("/tmp/deep_image_blending_was_here").exists()


@pytest.mark.parametrize(
    ("name", "taps", "words"),
    [
        ("vgg17", {"relu1_2"}, "did you mean 'vgg1"),
        ("vgg16", {"relu9_9"}, "it has relu1_1"),
        ("random", {"x"}, "it has"),
    ],
)
def test_unknown_backbones_and_layers_are_named(name: str, taps: set[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_backbone(name, taps)


def test_pretrained_weights_that_cannot_be_had_say_what_to_do(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(url: str, path: Path) -> None:
        raise OSError("no network")

    with pytest.raises(InputError, match=r"--weights, or use --backbone embedded"):
        load_backbone("vgg16", {"relu1_2"}, download=offline)
    assert not list(tmp_path.rglob("*.pth"))


def test_download_is_whole_verified_and_shown(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    digest = hashlib.sha256(data).hexdigest()[:8]
    (tmp_path / "served").write_bytes(data)
    seen: list[tuple[int, int | None]] = []
    good = tmp_path / f"net-{digest}.pth"
    fetch((tmp_path / "served").as_uri(), good, lambda done, total: seen.append((done, total)))
    assert good.read_bytes() == data
    assert seen[-1] == (len(data), len(data))
    with pytest.raises(RuntimeError, match="damaged"):
        fetch((tmp_path / "served").as_uri(), tmp_path / "net-00000000.pth")
    assert not (tmp_path / "net-00000000.pth").exists()


def test_random_filters_are_the_same_every_time() -> None:
    a, b = load_backbone("random", {"relu3_3"}), load_backbone("random", {"relu3_3"})
    assert a.sha256 == b.sha256
    for name, (weight, _) in a.network.parameters.items():
        assert torch.equal(weight, b.network.parameters[name][0])


def test_embedded_network_is_the_trained_module() -> None:
    from tools.embedded.network import Student

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


def test_default_taps_exist_in_every_backbone() -> None:
    for name in ("vgg16", "vgg19"):
        style, content = backbones.default_taps(name)
        assert {*style, content} <= {layer.output for layer in backbones._vgg_layers(name)}
    style, content = backbones.default_taps("resnet50")
    assert {*style, content} <= {layer.output for layer in backbones._resnet_layers()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "vgg19", "resnet50"])
def test_pretrained_weights_are_torchvisions(name: str) -> None:
    import torchvision

    enums = torchvision.models.get_model_weights(name)
    assert backbones._URLS[name] == enums["IMAGENET1K_V1"].url
    with torch.device("meta"):
        state = torchvision.models.get_model(name).state_dict()
    layers, names = {
        "resnet50": (backbones._resnet_layers, backbones._resnet_names),
    }.get(name, (lambda: backbones._vgg_layers(name), lambda: backbones._vgg_names(name)))
    planned = backbones._zeros(layers(), names())
    outside = ("classifier", "fc")
    assert {key: value.shape for key, value in planned.items()} == {
        key: value.shape
        for key, value in state.items()
        if not key.startswith(outside) and not key.endswith("num_batches_tracked")
    }
