"""An exported file gives the run's own answers, or there is no file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
from onnx import numpy_helper

import spectro
from spectro.core.card import Combination
from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, RunError
from spectro.core.files import digest, read_document
from spectro.core.predictions import VOTES
from spectro.core.runs import Run
from spectro.inference.combination import combine
from spectro.inference.onnx_classifier import open_model
from spectro.inference.onnx_file import read_onnx
from spectro.serving.export import build
from spectro.serving.export.network_graph import TORCH_VOTES, Converted
from tests.builders import make_run, model_card
from tests.conftest import RATE

CLOSE = 1e-4
READER = Path(__file__).with_name("standalone_reader.py")


def clips_of(data: Path) -> list[Path]:
    """Return every sixth recording of the corpus."""
    folder = DataFolder.open(data)
    return [folder.source_root() / clip.id for clip in folder.clips[::6]]


def assert_alike(first: Any, second: Any) -> None:
    """Compare JSON values: numbers within a ten-thousandth, all else exactly."""
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_alike(first[key], second[key])
    elif isinstance(first, list):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_alike(one, other)
    else:
        assert first == pytest.approx(second, abs=CLOSE) if isinstance(first, float) else first == second


@pytest.mark.parametrize("name", ["cnn5", "nested"])
@pytest.mark.usefixtures("quick")
def test_a_file_predicts_what_its_run_predicts(name: str, runs: Mapping[str, Run], data: Path, tmp_path: Path) -> None:
    exported = spectro.export(runs[name], out=tmp_path / "model.onnx")
    files = clips_of(data)
    assert_alike(
        spectro.predict(runs[name], files).to_dict(), spectro.predict(tmp_path / "model.onnx", files).to_dict()
    )

    facts = read_onnx(exported.path).facts
    assert facts.model.card == runs[name].card
    assert facts.model.columns() == ((0,) if name == "cnn5" else (0, 1, 0, 1))
    report = read_document(exported.report_path, "gate", 1, remedy="")["report"]
    assert report["digest"] == digest(exported.path)
    assert [batch["size"] for batch in report["batches"]] == [1, 2, 7]
    assert report["batches"][-1]["segments"] == report["segments"] == len(runs["cnn5"].predictions("test"))


@pytest.mark.slow
def test_the_newer_exporter_comes_first(runs: Mapping[str, Run], tmp_path: Path) -> None:
    exported = spectro.export(runs["cnn5"], out=tmp_path / "model.onnx")
    assert exported.report.exporter == "dynamo"
    graph = onnx.load(exported.path).graph
    assert [value.name for value in (*graph.input, *graph.output)] == ["spectrograms", "probabilities", "logits"]
    axes = [value.type.tensor_type.shape.dim[0].dim_param for value in (*graph.input, *graph.output)]
    assert axes == ["batch"] * 3


@pytest.mark.parametrize(("name", "stft"), [("cnn5", "operator"), ("both", "conv")])
@pytest.mark.usefixtures("quick")
def test_an_audio_front_takes_samples(
    name: str, stft: Any, runs: Mapping[str, Run], data: Path, tmp_path: Path
) -> None:
    exported = spectro.export(runs[name], out=tmp_path / "model.onnx", front="audio", stft=stft)
    operators = {node.op_type for node in onnx.load(exported.path).graph.node}
    assert ("STFT" in operators) == (stft == "operator")
    assert exported.report.cells is not None
    files = clips_of(data)
    plain, audio = (spectro.predict(one, files) for one in (runs[name], exported.path))
    assert [one.label for one in audio.answers] == [one.label for one in plain.answers]
    assert np.abs(audio.segments.probs - plain.segments.probs).max() < exported.report.cells.probabilities + 1e-3
    assert audio.segments.ids == plain.segments.ids


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_thirty_lines_without_spectro_read_a_file(runs: Mapping[str, Run], data: Path, tmp_path: Path) -> None:
    exported = spectro.export(runs["cnn5"], out=tmp_path / "model.onnx", front="audio")
    text = READER.read_text(encoding="utf-8")
    assert "import spectro" not in text
    assert "from spectro" not in text
    clip = tmp_path / "tail.wav"
    samples, rate = soundfile.read(clips_of(data)[0])
    soundfile.write(clip, samples[: int(2.6 * rate)], rate)  # the tail becomes a segment that is moved back
    done = subprocess.run([sys.executable, READER, exported.path, clip], capture_output=True, text=True, check=True)
    printed = {label: float(value) for value, label in (line.split() for line in done.stdout.splitlines())}
    (answer,) = spectro.predict(runs["cnn5"], clip).answers
    assert printed == pytest.approx(dict(zip(answer.labels, answer.probs, strict=True)), abs=5e-3)
    assert len(answer.starts) == 3


def wrong_bias(model: onnx.ModelProto) -> None:
    """Shift the last layer's bias, as a version of torch's exporter did with convolutions."""
    bias = [one for one in model.graph.initializer if len(one.dims) == 1][-1]
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.01), bias.name))


def not_a_number(model: onnx.ModelProto) -> None:
    """Make all logits nan."""
    weights = next(one for one in model.graph.initializer if len(one.dims) == 4)
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32("nan"), weights.name))


@pytest.mark.parametrize("sabotage", [wrong_bias, not_a_number])
@pytest.mark.usefixtures("quick")
def test_a_wrong_graph_leaves_no_file(
    sabotage: Callable[[onnx.ModelProto], None],
    runs: Mapping[str, Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = build.convert

    def convert(*arguments: Any) -> Converted:
        converted = honest(*arguments)
        sabotage(converted.model)
        return converted

    monkeypatch.setattr(build, "convert", convert)
    with pytest.raises(RunError, match="logits differ by"):
        spectro.export(runs["cnn5"], out=tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_wrong_images_leave_no_file(runs: Mapping[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spectro.serving.export.mel_graph.AMIN", 1e-3)
    with pytest.raises(RunError, match="cells differ"):
        spectro.export(runs["cnn5"], out=tmp_path / "model.onnx", front="audio")
    assert list(tmp_path.iterdir()) == []


def test_a_batch_of_one_is_not_frozen_in(runs: Mapping[str, Run], tmp_path: Path) -> None:
    """The second exporter is asked where the first one's graph takes batches of one length only."""

    def frozen(module: Any, inputs: Any, names: Any) -> onnx.ModelProto:
        model = build.EXPORTERS["torchscript"](module, inputs, names)
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
        return model

    from spectro.serving.export import network_graph

    with pytest.MonkeyPatch.context() as patch:
        working = {"torchscript": network_graph.by_torchscript}
        patch.setattr(build, "EXPORTERS", {"dynamo": frozen, **working})
        patch.setattr(network_graph, "EXPORTERS", {"dynamo": frozen, **working})
        lines: list[str] = []
        exported = spectro.export(runs["cnn5"], out=tmp_path / "model.onnx", log=lines.append)
    assert exported.report.exporter == "torchscript"
    assert len(lines) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_eight_bits_keep_the_front_and_are_refused_where_they_cost_much(
    runs: Mapping[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    out = tmp_path / "model.onnx"
    exported = spectro.export(
        runs["cnn5"], out=out, front="audio", stft="conv", int8=True, allow_loss=True, log=lines.append
    )
    loss = exported.report.int8
    assert loss is not None
    assert loss.difference.low <= loss.difference.value <= loss.difference.high
    assert exported.report.bytes < loss.float_bytes
    assert any("training segments" in line for line in lines), "fewer than 100 are noted"
    graph = onnx.load(out).graph
    spectra = next(node for node in graph.node if "spectrograms/" in node.name and node.op_type == "Conv")
    assert not any(name.endswith("DequantizeLinear_Output") for name in spectra.input)
    assert read_onnx(out).facts.int8

    def spoil(model: onnx.ModelProto, *_: Any) -> onnx.ModelProto:
        spoilt = onnx.ModelProto.FromString(model.SerializeToString())
        for one in spoilt.graph.initializer:
            if len(one.dims) == 2:
                one.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(one), one.name))
        return spoilt

    monkeypatch.setattr(build, "quantize", spoil)
    with pytest.raises(RunError, match="points of accuracy; --allow-loss"):
        spectro.export(runs["cnn5"], out=tmp_path / "other.onnx", int8=True)
    assert not (tmp_path / "other.onnx").exists()


def test_votes_in_a_graph_are_those_of_arrays() -> None:
    torch = pytest.importorskip("torch")
    from spectro.serving.export.network_graph import combine as combine_tensors

    rng = np.random.default_rng(0)
    members = rng.dirichlet(np.full(4, 0.3), size=(3, 50))
    members[:, 0] = [1, 0, 0, 0]
    members[0, 1], members[1:, 1] = [0, 1, 0, 0], [1, 0, 0, 0]
    tensors = torch.from_numpy(members.transpose(1, 0, 2)).float()
    combinations = [
        *(Combination(vote=vote) for vote in VOTES),
        Combination(weights=(0.2, 0.0, 3.0)),
        Combination(weights=tuple(map(tuple, rng.random((3, 4)).tolist()))),
        Combination(weights=((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 1.0, 1.0), (0.0, 1.0, 1.0, 1.0))),  # item 1 gets nothing
        Combination(coefficients=tuple(map(tuple, rng.normal(size=(4, 12)).tolist())), intercept=(0.1, 0.2, 0.3, 0.4)),
    ]
    assert TORCH_VOTES.keys() == VOTES.keys()
    for combination in combinations:
        np.testing.assert_allclose(combine_tensors(combination, tensors), combine(combination, members), atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_network_of_another_feature_takes_that(data: Path, tmp_path: Path) -> None:
    config = FinetuneConfig(frozen_epochs=0, epochs=1, device="cpu")
    model = ModelConfig(name="E-cnn")
    run = spectro.finetune(data, out=tmp_path / "run", model=model, config=config, feature="mfcc", weights="none")
    exported = spectro.export(run, out=tmp_path / "model.onnx")
    source = open_model(exported.path)
    assert (source.session.get_inputs()[0].name, source.session.get_inputs()[0].type) == ("features", "tensor(float)")
    clip = clips_of(data)[0]
    assert_alike(spectro.predict(run, clip).to_dict(), spectro.predict(exported.path, clip).to_dict())
    with pytest.raises(RunError, match="only images can be computed in a graph"):
        spectro.export(run, out=tmp_path / "audio.onnx", front="audio")


def test_what_cannot_be_exported_is_refused(
    runs: Mapping[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bayes = make_run(tmp_path / "bayes", card=model_card("bayes", kind="sklearn"))
    with pytest.raises(RunError, match="only networks can be exported"):
        spectro.export(bayes, out=tmp_path / "model.onnx")
    with pytest.raises(RunError, match=r"test segments of .*--data"):
        spectro.export(runs["cnn5"], out=tmp_path / "model.onnx", data=tmp_path / "gone")
    with pytest.raises(ConfigError, match=r"must end in \.onnx"):
        spectro.export(runs["cnn5"], out=tmp_path / "model.bin")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"pip install 'spectro-audio\[onnx\]'"):
        spectro.export(runs["cnn5"], out=tmp_path / "model.onnx")


@pytest.mark.usefixtures("quick")
def test_the_command_says_what_was_compared(
    runs: Mapping[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from spectro import cli

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            cli.main([str(word) for word in words])
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    out = tmp_path / "model.onnx"
    code, text, _ = call("export", runs["cnn5"].path, "--out", out)
    assert code == 0
    assert "all labels are equal" in text
    assert str(out) in text
    silence = tmp_path / "silence.wav"
    soundfile.write(silence, np.zeros(RATE), RATE)
    code, text, errors = call("predict", out, silence, "--json")
    assert code == 3
    assert json.loads(text)["failed"][0]["reason"] == "silent"
    code, _, errors = call("export", runs["cnn5"].path, "--out", tmp_path / "model.gate.json")
    assert (code, len(errors.splitlines())) == (2, 1)
