"""Every number of every option, by its declaration; options that a command would ignore; nothing to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from deep_image_blending.declaration import Option
from deep_image_blending.errors import InputError
from deep_image_blending.options.catalogue import catalogue
from deep_image_blending.runs import memory_at_hand
from tests.adversarial.trial import Trial

NUMBERS = {name: one for name, one in catalogue().items() if one.kind in ("number", "whole number")}
VALUES = ("nan", "inf", "-inf", "1e400", "9" * 40, "-1", "-1e9", "1e9", "", "x", "0x10", "1,2,3", "\0")


def _outside(one: Option, value: str) -> bool:
    """Whether a value is surely none that the option takes, told without its own check."""
    try:
        number = float(value)
    except ValueError:
        return True
    low = one.low if one.low is not None else one.above
    beyond = (low is not None and number < low) or (one.high is not None and number > one.high)
    return beyond or number != number or number in (float("inf"), float("-inf"))


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_taken_within_its_range_alone(name: str, value: str) -> None:
    one = NUMBERS[name]
    if _outside(one, value):
        with pytest.raises(InputError, match=one.flag) as raised:
            one.for_passes(value, 2)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_a_lower_bound(name: str) -> None:
    assert NUMBERS[name].low is not None or NUMBERS[name].above is not None


@pytest.mark.parametrize("name", [name for name in NUMBERS if name != "gpu"])
def test_the_command_line_refuses_it_in_one_line(trial: Trial, name: str) -> None:
    given = trial.run(NUMBERS[name].flag, "nan", "--output-dir", trial.folder / "out")
    assert "nan" in given.complaint
    assert not (trial.folder / "out").exists()


@pytest.mark.parametrize("preset", ["natural", "wacv2020", "resnet"])
def test_a_pass_whose_weights_are_all_0_says_so(trial: Trial, preset: str) -> None:
    weights = [word for name in ("grad", "style", "content", "hist", "tv") for word in (f"--{name}-weight", "0")]
    assert "every weight is 0" in trial.run("--preset", preset, *weights).complaint


@pytest.mark.parametrize(
    "words",
    [
        ("--output-dir", "x"),
        ("--source-file", "x.png"),
        ("--mask-file", "x.png"),
        ("--target-file", "x.png"),
        ("--max-pixels", "5"),
        ("--force",),
        ("--x", "0"),
        ("--first-steps", "3"),
    ],
    ids=lambda words: words[0],
)
def test_a_second_pass_on_a_run_refuses_what_it_would_ignore(
    trial: Trial, finished: Path, words: tuple[str, ...]
) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert words[0] in trial("second-pass", finished, *words).complaint
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("words", [("--x", "3"), ("--x", "nan"), ("--ss", "4"), ("--fit-mask",)])
def test_evaluating_a_run_refuses_what_it_would_ignore(
    trial: Trial, finished: Path, words: tuple[str, ...]
) -> None:
    assert words[0] in trial("evaluate", finished, "--features", "none", *words).complaint


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "{run}", "--features", "none", "--weights"),
        ("batch", "--status", "{run}", "--dry-run"),
        ("batch", "{run}", "--status"),
        ("batch", "m.csv", "--output-dir", "out", "--split-seed"),
        ("scatter", "--output-file", "m.jsonl", "--most-distractors"),
        ("run", "--preset", "wacv2020", "--levels"),
    ],
)
def test_every_command_refuses_what_it_would_ignore(trial: Trial, finished: Path, words: tuple[str, ...]) -> None:
    given = [word.format(run=finished) for word in words]
    value = () if words[-1] == "--dry-run" else ("3",)
    assert words[-1] in trial(*given, *value).complaint


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e400"])
@pytest.mark.parametrize("flag", ["--memory-per-task", "--timeout", "--gpus-per-task"])
def test_numbers_of_a_batch_are_checked(trial: Trial, flag: str, value: str) -> None:
    assert flag in trial("batch", "m.csv", "--output-dir", "out", "--dry-run", flag, value).complaint


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("second-pass", "--seed", 3), "see blend second-pass --help"),
        (("evaluate", "x", "--demo", "coffee"), "see blend evaluate --help"),
        (("run", "--num-step", 3), "did you mean '--num-steps'?"),
        (("--xyz",), "see blend --help"),
    ],
)
def test_an_option_that_is_not_there_has_a_remedy(trial: Trial, words: tuple[object, ...], remedy: str) -> None:
    assert trial(*words).complaint.endswith(f"; {remedy}")


def test_a_second_pass_without_a_mask_refuses_a_placement(trial: Trial) -> None:
    picture = trial.case.target
    words = ("--first-pass-file", picture, "--target-file", picture, "--grow", 2)
    assert "--grow is not used" in trial("second-pass", *words).complaint


def test_the_authors_script_runs_without_a_gpu(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    for flag in ("--gpu", "--gpu_id"):
        tried = trial.run(flag, 0, "--dry-run")
        assert tried.code == 0
        assert "runs on the CPU" in tried.err
    assert "is not there" in trial.run("--device", "cuda", "--dry-run").complaint


@pytest.mark.parametrize(
    "words",
    [
        ("--gpu", 0, "--gpu_id", 1),
        ("--gpu-id", 0, "--gpu", 1),
        ("--num-steps", 2, "--num_steps", 3),
        ("--num_steps=2", "--num-steps=3"),
    ],
    ids=str,
)
def test_two_spellings_of_one_option_are_refused(trial: Trial, words: tuple[object, ...]) -> None:
    assert "are one option; give it once" in trial.run(*words, "--dry-run").complaint


def test_an_option_that_is_given_again_counts_the_last_time(trial: Trial) -> None:
    tried = trial.run("--num-steps", 30, "--num-steps", 3, "--device", "cpu", "--dry-run")
    assert "3: 3 at 1:1" in tried.out


def test_the_check_of_memory_comes_before_a_picture_is_rescaled(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deep_image_blending.pictures.scene.resized_picture", lambda *_: pytest.fail("rescaled"))
    words = ("--ts", 20000, "--max-pixels", 10**9, "--max-memory", 1)
    assert "not enough memory: the pictures alone" in trial.run(*words).complaint


@pytest.mark.parametrize("part", ["source", "mask", "target"])
def test_the_check_of_memory_comes_before_a_picture_is_decoded(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    large = trial.folder / "large.png"
    Image.new("L", (9000, 8000)).save(large)
    for name in ("load_picture", "load_mask"):
        monkeypatch.setattr(f"deep_image_blending.runs.inputs.{name}", lambda *_, **__: pytest.fail("decoded"))
    # More than torch alone takes, less than 72 megapixels take beside it.
    limit = memory_at_hand.resident() / 2**30 + 0.5
    tried = trial.run(f"--{part}-file", large, "--max-memory", limit, "--output-dir", trial.folder / "run")
    assert "not enough memory: the pictures alone" in tried.complaint
    assert not (trial.folder / "run").exists()


@pytest.mark.parametrize("size", [(1, 24), (24, 1), (1, 1)])
def test_a_target_one_pixel_wide_is_blended_and_measured(trial: Trial, size: tuple[int, int]) -> None:
    target, folder = trial.folder / "narrow.png", trial.folder / "run"
    Image.effect_noise(size, 90).convert("RGB").save(target)
    words = ("--style-layers", "relu1_2", "--content-weight", 0, "--x", size[1] // 2, "--y", size[0] // 2)
    assert trial.run("--target-file", target, *words, "--output-dir", folder).code == 0
    assert Image.open(folder / "second_pass.png").size == size
    assert trial("evaluate", folder).code == 0
    assert trial("report", folder).code == 0


@pytest.mark.parametrize("layer", [".1.pool", ".half", "image", "relu9_9"])
@pytest.mark.parametrize("option", ["style_layers", "content_layer"])
def test_a_layer_that_can_not_be_asked_for_is_refused_at_every_door(
    trial: Trial, finished: Path, option: str, layer: str
) -> None:
    refusal = f"backbone embedded has no layer '{layer}'; it has relu1_2, relu2_2, relu3_3"
    words = ("run", *trial.case.options(), "--quiet", "--output-dir", trial.folder / "new")
    flag = "--" + option.replace("_", "-")
    assert refusal in trial(*words, "--backbone", "embedded", flag, layer).complaint
    preset = trial.folder / "mine.toml"
    value = json.dumps([layer] if option == "style_layers" else layer)
    preset.write_text(f'like = "natural"\n[second]\nbackbone = "embedded"\n{option} = {value}\n')
    assert refusal in trial(*words, "--preset", preset).complaint
    assert not (trial.folder / "new").exists()
    stored = json.loads((finished / "run.json").read_text())
    stored["options"]["second"] |= {"backbone": "embedded", option: json.loads(value)}
    stored["passes"]["second_pass"]["status"] = "begun"
    (finished / "run.json").write_text(json.dumps(stored))
    assert refusal in trial("run", "--resume", "--quiet", "--output-dir", finished).complaint


@pytest.mark.parametrize("value", [",", " , ", []])
def test_a_list_of_no_names_is_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"--style-layers .* names nothing"):
        catalogue()["style_layers"].coerced(value)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("--preset", "wacv2020", "--style-weight", "1e30"), "leave --backbone out"),
        (("--style-weight", "1e38", "--content-weight", "1e38", "--num-steps", "40"), "choose another --init"),
    ],
)
def test_a_pass_that_diverges_says_what_to_do(trial: Trial, words: tuple[str, ...], remedy: str) -> None:
    tried = trial.run("--backbone", "embedded", "--quiet", "--output-dir", trial.folder / "run", *words)
    assert tried.code == 1
    (line,) = tried.err.splitlines()
    assert line.startswith("blend: the loss was not finite at evaluation 1 and a smaller step did not help; ")
    assert remedy in line


def test_remedies_fit_what_was_asked(trial: Trial) -> None:
    nowhere = trial.folder / "nowhere"
    for words in (("run", "--resume", "--output-dir", nowhere), ("make-video", nowhere), ("report", nowhere)):
        complaint = trial(*words).complaint
        assert "not a run directory" in complaint
        assert "--resume" not in complaint
