"""Weights of a stranger: nothing but tensors is loaded, and what doesn't fit is one line."""

from __future__ import annotations

import hashlib
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.serialization import set_crc32_options

from deep_image_blending.errors import InputError
from deep_image_blending.networks import weights
from deep_image_blending.networks.backbone import Pretrained
from deep_image_blending.networks.backbones import DECLARED, load_backbone


def test_layers_beyond_the_deepest_tap_may_be_absent(tmp_path: Path) -> None:
    state, inputs = {}, 3
    for index in (0, 2):
        state[f"features.{index}.weight"] = torch.randn(64, inputs, 3, 3)
        state[f"features.{index}.bias"] = torch.zeros(64)
        inputs = 64
    path = tmp_path / "vgg.safetensors"
    save_file(state, path)
    found = load_backbone("vgg16", {"relu1_2"}, weights=path)
    assert [layer.output for layer in found.network.layers] == ["relu1_1", "relu1_2"]
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=r"have no features\.5\.weight"):
        load_backbone("vgg16", {"relu2_2"}, weights=path)


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/deep_image_blending_was_here",)


def _bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    (folder / "evil.pth").write_bytes(pickle.dumps({"features.0.weight": _Evil()}))
    (folder / "empty.pth").write_bytes(b"")
    (folder / "text.safetensors").write_text("no tensors here")
    torch.save([1, 2, 3], folder / "list.pth")
    return {
        "missing": (folder / "none.pth", "does not exist"),
        "folder": (folder, "is a folder"),
        "pickle": (folder / "evil.pth", "evil.pth"),
        "empty": (folder / "empty.pth", "empty.pth"),
        "text": (folder / "text.safetensors", "damaged"),
        "list": (folder / "list.pth", "not a state dict"),
    }


def test_bad_files_are_one_line_and_never_run(tmp_path: Path) -> None:
    for case, (path, words) in _bad_files(tmp_path).items():
        # Not a word of PyTorch's own beside it.
        with warnings.catch_warnings(action="error"), pytest.raises(InputError) as raised:
            load_backbone("vgg16", {"relu1_2"}, weights=path)
        assert words in str(raised.value), (case, str(raised.value))
        assert "\n" not in str(raised.value)
    assert not Path("/tmp/deep_image_blending_was_here").exists()


def _filled(value: float) -> Callable[[Tensor], Tensor]:
    return lambda tensor: tensor.index_fill(0, torch.tensor([1]), value)


BAD_TENSORS: dict[str, tuple[str, Callable[[Tensor], Tensor], str]] = {
    "another architecture": (
        "conv1.weight",
        lambda _: torch.randn(8, 4, 3, 3),
        "shape (8, 4, 3, 3), expected (64",
    ),
    "no channels": (
        "conv1.weight",
        lambda _: torch.zeros(0, 3, 7, 7),
        "shape (0, 3, 7, 7), expected (64, 3, 7, 7)",
    ),
    "a number": ("bn1.bias", lambda _: torch.tensor(1.0), "shape (), expected (64,)"),
    "another bias": ("bn1.bias", lambda _: torch.zeros(1), "bn1.bias has shape (1,), expected (64,)"),
    "meta": ("conv1.weight", lambda t: t.to("meta"), "no numbers (a meta tensor)"),
    "quantised": ("conv1.weight", lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "is quantised"),
    "sparse": ("conv1.weight", lambda t: t.to_sparse(), "is sparse"),
    "sparse rows": ("bn1.bias", lambda t: t.view(8, 8).to_sparse_csr(), "is sparse"),
    "integers": ("bn1.weight", lambda t: t.to(torch.int64), "is of int64, no floating point numbers"),
    "complex": ("bn1.weight", lambda t: t.to(torch.complex64), "is of complex64"),
    "zeros": ("conv1.weight", torch.zeros_like, "is all zeros"),
    "NaN": ("conv1.weight", _filled(float("nan")), "not finite"),
    "infinity": ("bn1.running_mean", _filled(-float("inf")), "not finite"),
    "too large for float32": ("bn1.weight", lambda t: t.double() * 1e300, "not finite"),
    "negative variance": ("bn1.running_var", _filled(-0.5), "negative"),
}


@pytest.mark.filterwarnings("ignore")
def test_a_flipped_bit_in_a_tensor_is_noticed(tmp_path: Path) -> None:
    state, path = (
        {"features.0.weight": torch.randn(64, 3, 3, 3), "features.0.bias": torch.randn(64)},
        tmp_path / "a.pth",
    )
    torch.save(state, path)
    whole = path.read_bytes()
    assert weights.read_state_dict(path).keys() == state.keys()
    for tensor in state.values():
        place = whole.index(tensor.numpy().tobytes())
        for bit in (0, 1, 8 * tensor.nbytes - 1):
            damaged = bytearray(whole)
            damaged[place + bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            assert not all(torch.equal(one, state[key]) for key, one in torch.load(path).items())
            with pytest.raises(InputError, match=f"'{path}' is damaged"):
                weights.read_state_dict(path)


def test_weights_without_checksums_are_taken(tmp_path: Path) -> None:
    state, path = {"features.0.bias": torch.randn(64)}, tmp_path / "a.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert torch.equal(weights.read_state_dict(path)["features.0.bias"], state["features.0.bias"])
    set_crc32_options(False)
    try:
        torch.save(state, path)
    finally:
        set_crc32_options(True)
    assert torch.equal(weights.read_state_dict(path)["features.0.bias"], state["features.0.bias"])


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_a_tensor_that_does_not_fit_is_one_line_that_says_why(case: str, tmp_path: Path) -> None:
    key, spoil, words = BAD_TENSORS[case]
    state = {"conv1.weight": torch.randn(64, 3, 7, 7)}
    state |= {f"bn1.{part}": torch.rand(64) + 0.5 for part in ("weight", "bias", "running_mean", "running_var")}
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    load_backbone("resnet18", {"stem"}, weights=path)
    torch.save({**state, key: spoil(state[key])}, path)
    with pytest.raises(InputError) as raised:
        load_backbone("resnet18", {"stem"}, weights=path)
    message = str(raised.value)
    assert words in message, message
    assert key in message
    assert str(path) in message
    assert "are not resnet18's" in message
    assert "\n" not in message


def test_a_bias_of_another_shape_is_refused(tmp_path: Path) -> None:
    state = {"features.0.weight": torch.randn(64, 3, 3, 3), "features.0.bias": torch.zeros(64, 1)}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"features\.0\.bias has shape \(64, 1\), expected \(64,\)"):
        load_backbone("vgg16", {"relu1_1"}, weights=tmp_path / "w.safetensors")


def test_half_precision_and_trainable_weights_are_taken_as_float32(tmp_path: Path) -> None:
    state = {"features.0.weight": torch.randn(64, 3, 3, 3).half(), "features.0.bias": torch.zeros(64).bfloat16()}
    torch.save({key: torch.nn.Parameter(value) for key, value in state.items()}, tmp_path / "w.pth")
    weight, bias = load_backbone("vgg16", {"relu1_1"}, weights=tmp_path / "w.pth").network.parameters["relu1_1"]
    assert weight.dtype == bias.dtype == torch.float32
    assert not weight.requires_grad
    assert torch.equal(weight, state["features.0.weight"].float())


def test_pretrained_weights_that_cannot_be_had_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(url: str, path: Path) -> None:
        raise OSError("no network")

    with pytest.raises(InputError, match=r"--weights, or use --backbone embedded"):
        load_backbone("vgg16", {"relu1_2"}, download=offline)
    assert not list(tmp_path.rglob("*.pth"))


def test_every_download_is_torchvisions_and_can_be_verified() -> None:
    for name, declared in DECLARED.items():
        if isinstance(declared, Pretrained):
            url = weights.address(name)
            assert url.startswith("https://download.pytorch.org/models/")
            assert len(Path(url).stem.rpartition("-")[2]) >= 8, "the name holds the hash that is checked"


def test_weights_in_torchvisions_cache_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert weights.cached("vgg16") is None
    place = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    place.parent.mkdir(parents=True)
    torch.save({"features.0.weight": torch.randn(64, 3, 3, 3), "features.0.bias": torch.zeros(64)}, place)
    assert weights.cached("vgg16") == place
    assert load_backbone("vgg16", {"relu1_1"}).source == str(place)
