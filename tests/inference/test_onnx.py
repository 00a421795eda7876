"""Exported models: read with suspicion, and asked without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import spectro
from spectro.core.card import FeatureFacts
from spectro.core.config import RenderConfig
from spectro.core.errors import ConfigError, RunError, SpectroError
from spectro.inference.classifier import load_classifier
from spectro.inference.onnx_file import MESSAGES, ExportedModel, ExportFacts, is_model_file, read_onnx, stamped
from spectro.inference.predict import Predictor
from tests.builders import ensemble_card, model_card
from tests.conftest import CLASSES, RATE, texture

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

BLOCKED = ("torch", "torchvision", "timm", "lightning_fabric", "sklearn", "matplotlib", "skops", "onnx", "onnxscript",
           "albumentations", "jinja2", "safetensors", "pytorch_grad_cam", "huggingface_hub")  # fmt: skip
PROGRAM = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from spectro.cli import main
main(sys.argv[1:])
"""


def graph(shape: tuple[int, int], classes: int, models: int = 1) -> Any:
    """Return a model whose logits are sums over bands, as exported ones have them."""
    tensors = onnx.TensorProto
    weights = np.random.default_rng(0).normal(size=(shape[0], models * classes)).astype(np.float32) / 2000
    nodes = [
        helper.make_node("Cast", ["spectrograms"], ["levels"], to=tensors.FLOAT),
        helper.make_node("ReduceSum", ["levels", "axes"], ["bands"], keepdims=0),
        helper.make_node("MatMul", ["bands", "weights"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["each"]),
        helper.make_node("ReduceMean", ["each", "one"], ["probabilities"], keepdims=0),
    ]
    constants = {
        "axes": np.array([2]),
        "one": np.array([1]),
        "shape": np.array([-1, models, classes]),
        "weights": weights,
    }
    body = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("spectrograms", tensors.UINT8, ["batch", *shape])],
        [
            helper.make_tensor_value_info("probabilities", tensors.FLOAT, ["batch", classes]),
            helper.make_tensor_value_info("logits", tensors.FLOAT, ["batch", models, classes]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def exported(name: str, config: RenderConfig, column: int = 0) -> ExportedModel:
    """Return the facts of a network on spectrograms."""
    feature = FeatureFacts(name="mel", kind="frames", config_id=config.config_id(), config=config.to_dict())
    return ExportedModel(card=model_card(name, labels=CLASSES, feature=feature, input=(32, 44)), column=column)


def facts(model: ExportedModel) -> ExportFacts:
    """Return the facts of a file."""
    return ExportFacts(front="image", model=model, stft="", int8=False, exporter="test", environment={})


@pytest.fixture
def file(tmp_path: Path, small: RenderConfig) -> Path:
    """An exported network on the small spectrograms."""
    path = tmp_path / "model.onnx"
    model = graph((32, 44), len(CLASSES))
    path.write_bytes(stamped(model.SerializeToString(), facts(exported("first", small))))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A recording of 3 s."""
    soundfile.write(tmp_path / "clip.wav", texture("hum", 0, 0), RATE)
    return tmp_path / "clip.wav"


def test_a_file_is_a_classifier_and_answers_about_sounds(file: Path, clip: Path) -> None:
    classifier = load_classifier(file)
    assert classifier.card.name == "first"
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 44)).astype(np.uint8)
    probs = classifier.predict_proba(images)
    assert probs.shape == (40, len(CLASSES))
    np.testing.assert_allclose(classifier.predict_proba(images[7:8]), probs[7:8], atol=1e-6)
    assert classifier.predict_proba(images[:0]).shape == (0, len(CLASSES))
    (answer,) = Predictor.load(file)([clip])
    assert isinstance(answer, spectro.inference.predict.Answer)
    assert answer.starts == (0.0, 1.0, 2.0)
    with pytest.raises(RunError, match="cannot classify inputs"):
        classifier.predict_proba(images[:, :, :40])
    with pytest.raises(ConfigError, match="runs on the CPU"):
        load_classifier(file, "cuda")


def test_members_in_one_graph_vote_as_runs_do(tmp_path: Path, small: RenderConfig, clip: Path) -> None:
    names = {"a": tmp_path / "a", "b": tmp_path / "b"}
    card = ensemble_card(spectro.Run(tmp_path / "both"), names, labels=CLASSES, vote="soft", temperature=2.0)
    members = (exported("a", small, 0), exported("b", small, 1))
    path = tmp_path / "both.onnx"
    both = facts(ExportedModel(card=card, column=-1, members=members))
    path.write_bytes(stamped(graph((32, 44), len(CLASSES), 2).SerializeToString(), both))
    (answer,) = spectro.predict(path, clip).answers
    image = np.stack([image for _, image in spectro.data.render.render_clip(clip, small)])
    (probs,) = spectro.inference.onnx_classifier.open_model(path).session.run(
        ["probabilities"], {"spectrograms": image}
    )
    np.testing.assert_allclose(answer.segment_probs, probs, atol=1e-6)
    mean = np.clip(probs.mean(axis=0), 1e-6, None) ** 0.5
    np.testing.assert_allclose(answer.probs, mean / mean.sum(), atol=1e-6)
    with pytest.raises(RunError, match="holds an ensemble"):
        spectro.load(path)


def test_the_facts_are_the_only_metadata_and_read_as_written(file: Path, small: RenderConfig) -> None:
    model = onnx.load(file)
    assert [entry.key for entry in model.metadata_props] == ["spectro", "spectro_digest"]
    again = stamped(file.read_bytes(), facts(exported("first", small)))
    assert again == file.read_bytes()
    assert read_onnx(file).facts == facts(exported("first", small))
    assert json.loads(model.metadata_props[0].value)["model"]["card"]["labels"] == list(CLASSES)


def test_every_damage_is_one_line(file: Path, clip: Path) -> None:
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    for number in range(300):
        damaged = bytearray(whole)
        at = int(rng.integers(len(whole)))
        if number % 3 == 0:
            damaged[at] ^= 1 << int(rng.integers(8))
        elif number % 3 == 1:
            del damaged[at:]
        else:
            damaged[at:at] = rng.bytes(5)
        file.write_bytes(damaged)
        with pytest.raises(SpectroError) as error:
            read_onnx(file)
        assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x0a", b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x7f"])
def test_another_file_is_one_line(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(RunError, match=r"spectro export"):
        Predictor.load(file)


def test_a_missing_or_huge_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no file"):
        Predictor.load(tmp_path / "gone.onnx")
    huge = tmp_path / "huge.onnx"
    with huge.open("wb") as stream:
        stream.truncate(1 << 32)
    with pytest.raises(RunError, match="larger than an ONNX file can be"):
        Predictor.load(huge)
    (tmp_path / "folder.onnx").mkdir()
    assert not is_model_file(tmp_path / "folder.onnx")


def outside(tensor: Any, location: str) -> None:
    """Let a tensor lie in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


@pytest.mark.parametrize("where", ["initializer", "attribute", "location"])
def test_weights_in_another_file_are_refused(where: str, file: Path, small: RenderConfig, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(32 * len(CLASSES) * 4))
    model = graph((32, 44), len(CLASSES))
    if where == "attribute":
        constant = numpy_helper.from_array(np.zeros(4, np.float32), "hidden")
        outside(constant, "secret.bin")
        model.graph.node.append(helper.make_node("Constant", [], ["hidden"], value=constant))
    elif where == "initializer":
        outside(model.graph.initializer[-1], "../secret.bin")
    else:
        model.graph.initializer[-1].data_location = onnx.TensorProto.EXTERNAL
    file.write_bytes(stamped(model.SerializeToString(), facts(exported("first", small))))
    with pytest.raises(RunError, match="weights in another file"):
        Predictor.load(file)


def test_loops_are_refused(file: Path, small: RenderConfig) -> None:
    model = graph((32, 44), len(CLASSES))
    inner = helper.make_graph([helper.make_node("Loop", ["a"], ["b"], body=model.graph)], "inner", [], [])
    model.graph.node.append(helper.make_node("Identity", ["levels"], ["copy"], then_branch=inner))
    file.write_bytes(stamped(model.SerializeToString(), facts(exported("first", small))))
    with pytest.raises(RunError, match="the operator Loop"):
        Predictor.load(file)


def test_another_graph_than_the_cards_say_is_refused(file: Path, small: RenderConfig, clip: Path) -> None:
    file.write_bytes(stamped(graph((32, 44), 3).SerializeToString(), facts(exported("first", small))))
    with pytest.raises(RunError, match="other logits than those of its card"):
        list(Predictor.load(file)([clip]))
    file.write_bytes(stamped(graph((9, 44), len(CLASSES)).SerializeToString(), facts(exported("first", small))))
    with pytest.raises(RunError, match="cannot classify inputs"):
        list(Predictor.load(file)([clip]))
    with pytest.raises(ConfigError, match="columns"):
        facts(exported("first", small, 1))


def test_the_fields_are_those_of_onnx() -> None:
    """Every field of `onnx.proto` that leads to a tensor or an operator is walked."""
    protos = {
        "model": onnx.ModelProto, "training": onnx.TrainingInfoProto, "function": onnx.FunctionProto,
        "graph": onnx.GraphProto, "node": onnx.NodeProto, "attribute": onnx.AttributeProto,
        "sparse": onnx.SparseTensorProto, "tensor": onnx.TensorProto,
    }  # fmt: skip
    names = {proto.DESCRIPTOR.name: name for name, proto in protos.items()}
    for name, proto in protos.items():
        inner = {
            field.number: names[field.message_type.name]
            for field in proto.DESCRIPTOR.fields
            if field.message_type is not None and field.message_type.name in names
        }
        assert dict(MESSAGES.get(name, {})) == inner, name
    fields = onnx.TensorProto.DESCRIPTOR.fields_by_name
    assert (fields["external_data"].number, fields["data_location"].number) == (13, 14)
    assert onnx.NodeProto.DESCRIPTOR.fields_by_name["op_type"].number == 4
    assert onnx.ModelProto.DESCRIPTOR.fields_by_name["metadata_props"].number == 14


@pytest.mark.slow
def test_it_predicts_where_learning_libraries_are_missing(file: Path, clip: Path) -> None:
    """The base install has them today, so imports of them are refused instead."""
    words = [sys.executable, "-c", PROGRAM, "predict", file, clip, "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    expected = spectro.predict(file, clip).to_dict()
    assert json.loads(done.stdout) == json.loads(json.dumps(expected))
    assert done.stderr == ""
