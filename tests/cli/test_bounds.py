"""Numbers and devices that mean nothing end in one line before any work, in every command that takes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spectro import cli
from spectro.cli.app import GROUPS, ORDER
from spectro.cli.bounds import between, require_device
from spectro.core.errors import ConfigError
from tests.builders import make_run

Spectro = Callable[..., tuple[int, str, str]]
RENDER = ("render", "music", "--out", "data")
FINETUNE = ("finetune", "data")
RUN = ("bench", "run", "data")
SWEEP = ("bench", "sweep", "data", "--recipe", "A-cnn", "--set", "mfcc.n_fft=512,1024")
CASES: list[tuple[tuple[str, ...], str, tuple[str, ...]]] = [
    (RENDER, "--seconds", ("inf", "nan", "1e9", "-1", "0", "1e-9")),
    (RENDER, "--overlap", ("nan", "-0.1", "1", "inf", "0.9999999")),
    (RENDER, "--min-tail", ("nan", "0", "-1", "2")),
    (RENDER, "--min-seconds", ("nan", "inf", "-1")),
    (RENDER, "--sample-rate", ("1000000000", "-1", "0", "nan", "100000000000000000000")),
    (RENDER, "--n-fft", ("0", "-2", "15", "100000000000000000000")),
    (RENDER, "--hop-length", ("0", "-1", "1000000")),
    (RENDER, "--n-mels", ("0", "-1", "100000000")),
    (RENDER, "--top-db", ("1e300", "-1", "0", "nan", "inf")),
    (RENDER, "--fmin", ("-1", "nan", "inf", "1e9")),
    (RENDER, "--fmax", ("-1", "nan", "inf", "1e9")),
    (RENDER, "--workers", ("-1", "100000000", "nan", "1e400", "9" * 400, "9" * 5000)),
    (("split", "data"), "--seed", ("-1", "100000000000000000000")),
    (("split", "data"), "--test", ("nan", "inf", "-1", "0", "1")),
    (("split", "data"), "--val", ("nan", "inf", "-1", "1")),
    (("split", "data"), "--folds", ("-1", "1", "1000000000")),
    (("data", "check", "music"), "--workers", ("-1", "100000000")),
    (("data", "check", "music"), "--seconds", ("inf", "1e9", "nan")),
    (("data", "audit", "data"), "--workers", ("-1", "100000000")),
    (("data", "preview", "data"), "--per-class", ("0", "-1", "1000000000")),
    (("data", "preview", "data"), "--seed", ("-1", "100000000000000000000")),
    (("data", "features", "data"), "--workers", ("-1", "100000000")),
    (FINETUNE, "--seed", ("-1", "100000000000000000000")),
    (FINETUNE, "--seeds", ("0", "-1", "1000000000")),
    (FINETUNE, "--mixup", ("-1", "nan", "inf")),
    (FINETUNE, "--cutmix", ("-1", "nan", "inf")),
    (FINETUNE, "--grad-clip", ("-1", "nan", "inf")),
    (FINETUNE, "--views", ("0", "-1", "100000000")),
    (FINETUNE, "--lr", ("0", "-1", "nan", "inf", "2")),
    (FINETUNE, "--finetune-lr", ("0", "-1", "nan", "inf")),
    (FINETUNE, "--batch-size", ("0", "-1", "100000000000")),
    (FINETUNE, "--head-batch-size", ("0", "-1", "100000000000")),
    (FINETUNE, "--weight-decay", ("-1", "nan", "inf")),
    (FINETUNE, "--label-smoothing", ("-1", "nan", "1")),
    (FINETUNE, "--warmup-ratio", ("-1", "nan", "1")),
    (FINETUNE, "--ema-decay", ("-1", "nan", "1")),
    (FINETUNE, "--layer-decay", ("0", "-1", "nan", "2")),
    (FINETUNE, "--frozen-epochs", ("-1", "1000000000")),
    (FINETUNE, "--epochs", ("-1", "1000000000")),
    (FINETUNE, "--min-steps", ("-1", "1000000000")),
    (FINETUNE, "--stages", ("-1", "1000000000")),
    (FINETUNE, "--stage-values", ("0", "-1", "1000000000")),
    (FINETUNE, "--patience", ("-1", "1000000000")),
    (FINETUNE, "--unfreeze", ("-1", "1000000000")),
    (FINETUNE, "--dropout", ("-1", "nan", "1")),
    (FINETUNE, "--hidden", ("0", "-1", "1000000000")),
    (FINETUNE, "--in-chans", ("0", "2")),
    (FINETUNE, "--device", ("xyz", "", "cuda:x", "cpu; rm")),
    ((*FINETUNE, "--model", "svm"), "--search-folds", ("-1", "0", "1", "1000000000")),
    ((*FINETUNE, "--model", "svm"), "--seed", ("-1", "100000000000000000000")),
    (("evaluate", "run"), "--min-confidence", ("-0.1", "1.1", "nan", "inf")),
    (("evaluate-predictions", "p.csv"), "--min-confidence", ("-0.1", "1.1", "nan")),
    (("tta", "run", "--data", "data"), "--overlap", ("-0.1", "1", "nan", "inf")),
    (("predict", "run", "a.wav"), "--overlap", ("-0.1", "1", "nan", "inf")),
    (("predict", "run", "a.wav"), "--min-confidence", ("-0.1", "1.1", "nan")),
    (("predict", "run", "a.wav"), "--top", ("0", "-1", "1e400")),
    (("predict", "run", "a.wav"), "--workers", ("-1", "100000000")),
    (("predict", "run", "a.wav"), "--device", ("xyz", "cuda:1234567")),
    (("serve", "run"), "--port", ("-1", "65536")),
    (("serve", "run"), "--sync-seconds", ("-1", "nan", "inf")),
    (("serve", "run"), "--keep-megabytes", ("0", "-1")),
    (("serve", "run"), "--decoders", ("0", "-1", "1000000")),
    (("serve", "run"), "--max-megabytes", ("0", "-1", "nan")),
    (("serve", "run"), "--max-minutes", ("0", "nan", "inf")),
    (("serve", "run"), "--keep-minutes", ("0", "nan", "inf")),
    (("serve", "run"), "--decode-seconds", ("0", "nan", "inf")),
    (("serve", "run"), "--stall-seconds", ("0", "nan", "inf")),
    (("serve", "run"), "--queue", ("0", "-1", "100000000")),
    (("explain", "run", "a.wav"), "--start", ("-1", "nan", "inf")),
    (("explain", "run", "a.wav"), "--device", ("xyz",)),
    (RUN, "--seconds", ("0", "-1", "nan", "inf", "1e9")),
    (RUN, "--seeds", ("0", "-1", "1000000000")),
    (RUN, "--epochs-cap", ("-1", "1000000000")),
    (SWEEP, "--seeds", ("0", "-1", "1000000000")),
    (SWEEP, "--epochs-cap", ("-1", "1000000000")),
    ((*RENDER, "--engine", "local"), "--shard-mb", ("0", "-1", "nan", "inf", "1e9")),
    (("data", "pack", "data", "shards"), "--shard-mb", ("0", "-1", "nan", "inf", "1e9")),
    (("bench", "openset", "data"), "--classes", ("-1", "1000000000")),
    (("bench", "openset", "data"), "--seed", ("-1", "100000000000000000000")),
    (("bench", "review", "data"), "--batch", ("-1", "1000000000")),
    (("bench", "review", "data"), "--draws", ("0", "-1", "1000000000")),
    (("bench", "review", "data"), "--seed", ("-1", "100000000000000000000")),
    (("bench", "review", "data"), "--start", ("-1", "1000000000")),
    (("review", "run", "music", "--out", "labels.csv"), "--port", ("-1", "65536")),
    (("review", "run", "music", "--out", "labels.csv"), "--workers", ("-1", "100000000")),
    (("similar", "run", "a.wav", "--in", "data"), "--count", ("0", "-1", "100000000000")),
]


@pytest.mark.parametrize(
    ("arguments", "option", "values"), CASES, ids=lambda part: part if isinstance(part, str) else None
)
def test_a_setting_out_of_bounds_is_one_line(
    arguments: tuple[str, ...],
    option: str,
    values: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spectro: Spectro,
) -> None:
    monkeypatch.chdir(tmp_path)
    name = re.escape(option.removeprefix("--"))
    for value in values:
        code, out, err = spectro(*arguments, option, value)
        assert (code, out) == (2, ""), value
        assert err.startswith("spectro: "), value
        assert err.count("\n") == 1, value
        assert re.search(name.replace(r"\-", "[-_]"), err), f"{value}: {err} does not name the option"
    assert not list(tmp_path.iterdir()), "something was written"


def test_every_number_that_a_command_takes_is_tried_above() -> None:
    tried = {(" ".join(arguments[: 2 if arguments[0] in GROUPS else 1]), option) for arguments, option, _ in CASES}
    commands = [name for names in ORDER.values() for name in names if name not in GROUPS]
    commands += [f"{group} {name}" for group, names in GROUPS.items() for name in names]
    numbers = {
        (command, argument.name)
        for command in commands
        for argument in arguments_of(command)
        if argument.name.startswith("--") and is_number(argument.hint)
    }
    same = {("data check", name) for name in ("--overlap", "--min-tail", "--min-seconds")}  # of render's settings
    assert numbers - tried - same == {("ensemble", "--weights")}


def arguments_of(command: str) -> list[Any]:
    """Return the arguments of a command."""
    program = cli.program
    for word in command.split():
        program = program[word]
    return list(program.assemble_argument_collection())


def is_number(hint: Any) -> bool:
    """Tell whether a type takes numbers."""
    return bool(re.search(r"\b(int|float)\b", str(hint)))


@pytest.mark.parametrize("weights", [("nan", "1"), ("inf", "1"), ("-1", "2"), ("0", "0")])
def test_weights_of_an_ensemble_are_finite(weights: tuple[str, str], tmp_path: Path, spectro: Spectro) -> None:
    runs = [make_run(tmp_path / name).path for name in ("first", "second")]
    code, _, err = spectro("ensemble", *runs, "--weights", *weights, "--out", tmp_path / "both")
    assert (code, err.count("\n")) == (2, 1)
    assert "weight" in err
    assert not (tmp_path / "both" / "card.json").exists()


def test_bounds_hold_for_one_number_and_for_several() -> None:
    share = between(0, 1, open_end=True)
    share(float, None)
    share(float, [0.0, 0.5])
    for wrong in (1.0, -0.1, float("nan"), [0.5, 1.0]):
        with pytest.raises(ValueError, match="must lie"):
            share(float, wrong)


@pytest.mark.parametrize("name", ["auto", "cpu", "mps", "cuda", "cuda:1"])
def test_devices_are_known(name: str) -> None:
    require_device(str, name)
    with pytest.raises(ConfigError, match="cuda:NUMBER"):
        require_device(str, name + "x")
