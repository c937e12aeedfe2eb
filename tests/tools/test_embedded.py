"""How the embedded backbone begins: fits against NumPy's least squares, and the student that they make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torchvision

from deep_image_blending.networks import embedded
from deep_image_blending.networks.backbones import load_backbone
from tools.embedded.initial import chosen, fit, initialise, rectified_fit
from tools.embedded.network import Student
from tools.embedded.train import distance, gram


def test_fit_is_least_squares_with_an_offset() -> None:
    torch.manual_seed(1)
    inputs, outputs = torch.randn(200, 5), torch.randn(200, 3)
    found = fit(inputs, outputs, damping=0)
    rows = np.column_stack((inputs.numpy(), np.ones(200)))
    expected = np.linalg.lstsq(rows, outputs.numpy(), rcond=None)[0]
    np.testing.assert_allclose(found.weight.T, expected[:-1], atol=1e-5)
    np.testing.assert_allclose(found.bias, expected[-1], atol=1e-5)


def test_rectified_fit_finds_the_filters_behind_rectified_outputs() -> None:
    torch.manual_seed(2)
    weight, bias, inputs = torch.randn(4, 6), torch.randn(4), torch.randn(4000, 6)
    outputs = torch.relu(inputs @ weight.T + bias)

    def error(found: object) -> float:
        predicted = torch.relu(inputs @ found.weight.T + found.bias)  # type: ignore[attr-defined]
        return float((predicted - outputs).square().sum() / outputs.square().sum())

    assert error(rectified_fit(inputs, outputs, damping=1e-9, rounds=200)) < 1e-3
    assert error(rectified_fit(inputs, outputs)) < 0.5 * error(fit(inputs, outputs))


def test_chosen_columns_explain_the_others() -> None:
    torch.manual_seed(3)
    basis = torch.randn(300, 4)
    # Columns 0, 2, 4 and 6 are large; the others are small mixtures of them.
    rows = torch.zeros(300, 8)
    rows[:, 0::2] = 10 * basis
    rows[:, 1::2] = 0.1 * basis @ torch.randn(4, 4)
    assert chosen(rows, 4) == [0, 2, 4, 6]


def test_initial_student_predicts_its_teacher(tmp_path: Path) -> None:
    torch.manual_seed(4)
    path = tmp_path / "vgg19.pth"
    features = torchvision.models.vgg19(weights=None).features[:16]
    torch.save({f"features.{key}": value for key, value in features.state_dict().items()}, path)
    teacher = load_backbone("vgg19", set(embedded.TAPS), weights=path).network
    pictures = torch.nn.functional.interpolate(255 * torch.rand(10, 3, 12, 12), size=(48, 48), mode="bilinear")
    seen, new = pictures[:8], pictures[8:]
    student = Student()
    initialise(student, teacher, seen, np.random.default_rng(5))
    wanted = teacher.features(new, set(embedded.TAPS))
    with torch.no_grad():
        own = student(teacher.normalisation(new))
        for tap in embedded.TAPS:
            assert float(distance(student.predict(tap, own[tap]), wanted[tap]).mean()) < 0.2
            assert float(distance(student.gram(tap, own[tap]), gram(wanted[tap])).mean()) < 0.1


def test_shipped_weights_are_of_the_students_shapes_and_small() -> None:
    shapes = {name: tuple(value.shape) for name, value in Student().state_dict().items()}
    assert shapes == embedded.shapes()
    assert sum(int(np.prod(shape)) for shape in shapes.values()) < 500_000
    assert embedded.WEIGHTS.stat().st_size <= 1_000_000
