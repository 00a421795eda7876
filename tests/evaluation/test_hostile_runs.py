"""Damaged and hostile runs: every command ends in a right answer or in one line, whatever a file of the run holds."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from spectro.core.card import Card
from spectro.core.errors import RunError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.evaluation.ensemble import ensemble
from spectro.evaluation.evaluate import evaluate, load_or_compute
from spectro.inference import network_file
from spectro.inference.classifier import load_classifier
from spectro.inference.predict import Predictor, predict
from spectro.models import build
from spectro.models.network import Network
from tests.builders import ensemble_card, replace_predictions
from tests.evaluation.hostile import (
    QUICK,
    SHAPE,
    commands,
    damages,
    mutations,
    network_run,
    outcome,
    sound,
    vector_run,
    write_values,
)

KINDS = ("network", "vectors", "equal", "stacked")


def make(kind: str, root: Path) -> tuple[Run, Run]:
    """Return a run to attack, and another on the same clips."""
    other = network_run(root / "other", 5)
    if kind == "network":
        return network_run(root / "run"), other
    if kind == "vectors":
        return vector_run(root / "run"), other
    members = [network_run(root / "a", 7), vector_run(root / "b", 8)]
    return ensemble(members, out=root / "run", weights="stacked" if kind == "stacked" else None), other


def attack(kind: str, root: Path, most: int, rng: np.random.Generator) -> int:
    """Try so many mutations of a card; return how many could be read."""
    run, other = make(kind, root)
    file, read = sound(root / "noise.wav"), 0
    everything = list(mutations(run))
    for number in rng.permutation(len(everything))[:most]:
        _, _, values = everything[number]
        write_values(run, values)
        try:
            assert isinstance(Run(run.path).card, Card)
        except RunError as error:
            assert "\n" not in str(error)
            continue
        read += 1
        for command in commands(Run(run.path), other, file, root / "out").values():
            outcome(command, run.path)
            shutil.rmtree(root / "out", ignore_errors=True)
    return read


@pytest.mark.parametrize("kind", KINDS)
def test_a_mutated_card_gives_a_right_answer_or_a_line(kind: str, tmp_path: Path) -> None:
    assert attack(kind, tmp_path, 60, np.random.default_rng(12)) > 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutated_cards_give_right_answers_or_lines(kind: str, tmp_path: Path) -> None:
    assert attack(kind, tmp_path, 400, np.random.default_rng(13)) > 50


@pytest.mark.parametrize("fitting", [False, True], ids=["checksum-as-it-was", "checksum-made-to-fit"])
@pytest.mark.parametrize("name", ["predictions-test.npz", "predictions-val.npz", "weights.safetensors", "model.skops"])
def test_a_damaged_file_never_gives_another_answer(name: str, fitting: bool, tmp_path: Path) -> None:
    make_run: Callable[[Path, int], Run] = vector_run if name == "model.skops" else network_run
    run, other = make_run(tmp_path / "run", 0), make_run(tmp_path / "other", 5)
    file, path, out = sound(tmp_path / "noise.wav"), run.path / name, tmp_path / "out"
    card, whole = run.card, path.read_bytes()
    before = {key: outcome(command, run.path) for key, command in commands(run, other, file, out).items()}
    shutil.rmtree(out)
    for damage, content in damages(whole, (other.path / name).read_bytes(), np.random.default_rng(3)).items():
        path.unlink()
        path.mkdir() if content is None else path.write_bytes(content)
        if fitting and content is not None:
            run.write_card(card)
        results = {key: outcome(command, run.path) for key, command in commands(run, other, file, out).items()}
        own = {"predictions-test.npz": ("evaluate", "compare", "ensemble")}.get(name, ("evaluate",))
        own = own if "predictions" in name else ("predict",)
        if not fitting or content is None:
            assert all(name in results[key] for key in own), damage
        assert all(results[key] == before[key] for key in ("predict",) if "predictions" in name), damage
        shutil.rmtree(path) if content is None else path.unlink()
        path.write_bytes(whole)
        run.write_card(card)
        shutil.rmtree(out, ignore_errors=True)


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """Return arrays as an `.npz` file."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def claims(shape: tuple[int, ...], size: int | None = None) -> bytes:
    """Return an `.npz` file whose arrays have headers of a shape and hold nothing; the archive may claim a `size`."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, descr in (("probs", "<f8"), ("truth", "<i8"), *((n, "<U9") for n in ("ids", "clip_ids", "groups"))):
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
            archive.writestr(f"{name}.npy", header.getvalue())
        archive.writestr("labels.npy", b"")
        for info in archive.infolist():
            info.file_size = size or info.file_size
    return stream.getvalue()


def strange_arrays(whole: Predictions) -> dict[str, bytes]:
    """Return predictions files that no run wrote."""
    names = {"ids": whole.ids, "clip_ids": whole.clip_ids, "groups": whole.groups, "labels": whole.labels}
    good = {"probs": whole.probs, "truth": whole.truth, **{name: np.array(value) for name, value in names.items()}}
    items = len(whole)
    return {
        "objects": npz({**good, "ids": np.array(list(whole.ids), dtype=object)}),
        "numbers for names": npz({**good, "ids": np.arange(items)}),
        "names for numbers": npz({**good, "probs": np.full(whole.probs.shape, "x")}),
        "complex": npz({**good, "probs": whole.probs.astype(complex)}),
        "one axis": npz({**good, "probs": whole.probs.ravel()}),
        "three axes": npz({**good, "probs": whole.probs[None]}),
        "fewer": npz({**good, "truth": whole.truth[1:]}),
        "nan": npz({**good, "probs": np.full(whole.probs.shape, np.nan)}),
        "truth beyond": npz({**good, "truth": np.full(items, 99)}),
        "truth of floats": npz({**good, "truth": whole.truth.astype(float)}),
        "one missing": npz({name: array for name, array in good.items() if name != "groups"}),
        "other labels": npz({**good, "labels": np.array(["a", "b", "c"])}),
        "two truths": npz({**good, "truth": np.where(np.arange(items) == 1, (whole.truth + 1) % 3, whole.truth)}),
        "two groups": npz({**good, "groups": np.array([f"g{item}" for item in range(items)])}),
        "terabytes": claims((10**6, 10**6)),
        "claimed terabytes": claims((10**6, 10**6), 8 * 10**12),
        "overflow": claims((2**62, 2**62)),
        "negative": claims((-1, 3)),
    }


def test_predictions_that_no_run_wrote_end_in_one_line(tmp_path: Path) -> None:
    run, other = network_run(tmp_path / "run"), network_run(tmp_path / "other", 5)
    path, card = run.predictions_path("test"), run.card
    for name, content in strange_arrays(run.predictions("test")).items():
        path.write_bytes(content)
        run.write_card(card)
        for command in ("evaluate", "compare", "ensemble"):
            result = outcome(commands(run, other, tmp_path, tmp_path / "out")[command], run.path)
            assert result != "right", name
            assert name.startswith("two") or str(run.path) in result, result


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("head.layers.1.bias"), r"it lacks 'head\.layers\.1\.bias'"),
        (lambda weights: weights.update(more=torch.zeros(3)), "it also has 'more'"),
        (lambda weights: weights.update({"head.layers.1.bias": torch.zeros(9)}), r"is \[9\] there, but \[3\] here"),
    ],
    ids=["missing", "too many", "shape"],
)
def test_weights_of_another_network_name_the_difference(
    change: Callable[[dict[str, torch.Tensor]], object], message: str, tmp_path: Path
) -> None:
    run = network_run(tmp_path / "run")
    weights = safetensors.torch.load_file(run.weights_path)
    change(weights)
    safetensors.torch.save_file(weights, run.weights_path)
    run.write_card(run.card)
    with pytest.raises(RunError, match=message):
        load_classifier(run, "cpu")


@pytest.mark.parametrize("length", [0, 7, 10**6, 2**63, 2**64 - 1])
def test_an_absurd_header_of_weights_is_one_line(length: int, tmp_path: Path) -> None:
    run = network_run(tmp_path / "run")
    run.weights_path.write_bytes(length.to_bytes(8, "little") + run.weights_path.read_bytes()[8:])
    run.write_card(run.card)
    with pytest.raises(RunError, match=r"weights\.safetensors cannot be read as weights"):
        load_classifier(run, "cpu")


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({"name": "B-fcnn"}, (65_536, 65_536)),
        ({"name": "A-lstm"}, (65_536, 65_536)),
        ({"name": "cnn5", "head": "flatten", "hidden": 65_536}, (4096, 8192)),
        ({"name": "cnn5", "head": "conv", "hidden": 65_536}, SHAPE),
        ({"name": "resnet50", "head": "mlp", "hidden": 65_536}, (128, 65_536)),
        ({"name": "vit_giant_patch14_dinov2"}, (126, 126)),
        ({"name": "convnext_xxlarge"}, (128, 128)),
    ],
)
def test_a_network_of_gigabytes_is_refused_before_it_is_built(
    settings: dict[str, object], shape: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = network_run(tmp_path / "run")
    card = run.card
    assert card.model
    assert card.model.network
    network = replace(card.model.network, **settings)  # type: ignore[arg-type]
    run.write_card(replace(card, model=replace(card.model, network=network), input=shape))
    places = []

    def spied(*arguments: Any) -> Network:
        places.append(torch.empty(1).device.type)
        return build(*arguments)

    monkeypatch.setattr(network_file, "build", spied)
    with pytest.raises(RunError) as refused:
        load_classifier(run, "cpu")
    assert "\n" not in str(refused.value)
    assert places == ["meta"]  # where tensors have a shape, but no memory


def test_members_that_do_not_fit_their_ensemble_are_refused(tmp_path: Path) -> None:
    first, second = network_run(tmp_path / "a"), network_run(tmp_path / "b", 1)
    both = ensemble([first, second], out=tmp_path / "both", weights=[2, 1])
    card = both.card
    assert card.combination
    for weights in ((1.0,), (1.0, 1.0, 1.0), ((1.0, 1.0), (1.0, 1.0))):
        both.write_card(replace(card, combination=replace(card.combination, weights=weights)))
        with pytest.raises(RunError, match=r"card\.json: combination\.weights"):
            Predictor.load(both.path, "cpu")
    both.write_card(card)
    second.write_card(replace(second.card, labels=("x", "y", "z")))
    with pytest.raises(RunError, match=r"its member \.\./b have different labels"):
        Predictor.load(both.path, "cpu")


def test_nested_pairs_of_members_are_loaded_and_asked_once(tmp_path: Path) -> None:
    leaf = network_run(tmp_path / "leaf")
    below = {"x": leaf.path, "y": leaf.path}
    for level in range(15):
        for name in ("first", "second"):
            run = Run(tmp_path / f"{name}{level}")
            run.path.mkdir()
            run.write_card(ensemble_card(run, below))
        below = {name: tmp_path / f"{name}{level}" for name in ("first", "second")}
    file = sound(tmp_path / "noise.wav")
    probs = predict(tmp_path / "first14", [file], device="cpu").clips.probs
    np.testing.assert_allclose(probs, predict(leaf, [file], device="cpu").clips.probs)


def test_probabilities_that_are_not_finite_are_one_line(tmp_path: Path) -> None:
    run = network_run(tmp_path / "run")
    weights = safetensors.torch.load_file(run.weights_path)
    weights["head.layers.1.bias"] += torch.nan
    safetensors.torch.save_file(weights, run.weights_path)
    run.write_card(run.card)
    with pytest.raises(RunError, match="run gives probabilities that are not finite: its training diverged"):
        predict(run, sound(tmp_path / "noise.wav"), device="cpu")


def test_metrics_of_damaged_predictions_are_not_given(tmp_path: Path) -> None:
    run = network_run(tmp_path / "run")
    evaluate(run, config=QUICK)
    data = run.predictions_path("val").read_bytes()
    run.predictions_path("val").write_bytes(data[:-9] + b"damaged!!")
    with pytest.raises(RunError, match=r"predictions-val\.npz is damaged"):
        load_or_compute(run.path)
    run.predictions_path("val").write_bytes(data)
    replace_predictions(run, "test", run.predictions("val"))
    assert load_or_compute(run.path).clip.accuracy.value == evaluate(run, config=QUICK).clip.accuracy.value
