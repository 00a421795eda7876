"""From a run to a checked file: graph by one exporter or the other, front, 8-bit weights, gate, file and report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from spectro.core.config import MelConfig
from spectro.core.errors import RunError
from spectro.core.files import write_document
from spectro.core.runs import Run, environment
from spectro.inference.loaded_model import LoadedModel
from spectro.inference.onnx_file import ExportedModel, ExportFacts, stamped
from spectro.inference.torch_classifier import TorchClassifier
from spectro.models import Network
from spectro.serving.export.export import Exported, ExportSettings
from spectro.serving.export.gate import Expected, RunAnswers, compare, consistency, expect, loss
from spectro.serving.export.int8 import FEWEST, calibration_items, quantize
from spectro.serving.export.mel_graph import BATCH, SAMPLES, Stft, add_images, choose_stft
from spectro.serving.export.network_graph import EXPORTERS, Converted, RunNetwork, convert
from spectro.serving.export.products import PRODUCTS, Product
from spectro.serving.export.report import GateReport
from spectro.serving.export.segments import RunData, open_data, waveform_of

REPORT_VERSION = 1
Log = Callable[[str], object]


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A run in memory, with its data."""

    run: Run
    settings: ExportSettings
    loaded: LoadedModel
    leaves: tuple[LoadedModel, ...]
    """The models with a network, in the order of their columns."""
    model: ExportedModel
    data: RunData
    fed: tuple[int, ...]
    """For each network the number of the array that it is fed."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs of the networks, which an audio front computes."""
        image = self.leaves[0].card.of_model()[0].is_image
        count, name = len(self.data.inputs), "spectrograms" if image else "features"
        return (name,) if count == 1 else tuple(f"{name}_{number + 1}" for number in range(count))

    def stft(self, config: MelConfig) -> Stft:
        """Return how an audio front computes spectra."""
        if self.settings.format == "openvino" and self.settings.stft == "auto":
            return "conv"  # OpenVINO does not read the operator
        return choose_stft(config, self.settings.stft)


def build(run: Run, out: Path, settings: ExportSettings, data: Path | None, log: Log) -> Exported:
    """Write a run as a file; what `export` takes and raises."""
    source = open_source(run, settings, data)
    expected = expect(RunAnswers(source.loaded, source.leaves, source.fed), source.data)
    refusals = []
    for exporter in EXPORTERS:
        try:
            with quiet():
                converted = convert(
                    run_network(source), [one[0] for one in source.data.inputs], source.inputs, exporter
                )
                if settings.front == "audio":
                    add_fronts(converted.model, source)
                product, report = checked(source, converted, expected, out)
        except RunError as error:
            refusals.append(str(error))
        else:
            failures = list(report.failures())
            if not failures:
                if settings.int8:
                    product, report = eight_bits(source, converted, expected, report, out, log)
                return write(product, report, out)
            refusals.append(f"by torch's exporter '{exporter}' {' and '.join(failures)}")
        log(refusals[-1])
    raise RunError(f"{run.path} was not exported, for no file gives its answers: {'; '.join(refusals)}")


def open_source(run: Run, settings: ExportSettings, data: Path | None) -> Source:
    """Load a run and its data.

    Raises
    ------
    RunError
        a member is no network, or the data that it was tested on is gone or has changed.
    """
    runs = run.leaves()
    classical = next((leaf for leaf in runs if leaf.card.kind != "torch"), None)
    if classical is not None:
        raise RunError(f"{classical.path} is of kind '{classical.card.kind}'; only networks can be exported")
    if settings.front == "audio":
        waveform_of([leaf.card for leaf in runs])  # before the models are loaded, which takes longer
    places: dict[Path, LoadedModel] = {}
    loaded = LoadedModel.load(run, "cpu", places)
    leaves = loaded.leaves
    columns = {leaf: number for number, leaf in enumerate(leaves)}
    by_model = {places[one.path.resolve()]: one for one in runs}
    opened, fed = open_data([by_model[leaf] for leaf in leaves], settings.front, data)

    def described(model: LoadedModel) -> ExportedModel:
        members = tuple(map(described, model.members))
        return ExportedModel(card=model.card, column=columns.get(model, -1), members=members)

    return Source(
        run=run, settings=settings, loaded=loaded, leaves=leaves, model=described(loaded), data=opened, fed=fed
    )


def run_network(source: Source) -> RunNetwork:
    """Return the networks of a run as one torch module."""
    networks: list[Network] = []
    for leaf in source.leaves:
        assert isinstance(leaf.classifier, TorchClassifier)
        networks.append(leaf.classifier.network)
    return RunNetwork(source.model, networks, source.fed)


def add_fronts(model: onnx.ModelProto, source: Source) -> None:
    """Let a graph take samples: each of its inputs is computed from them, and becomes an output."""
    graph, waveform = model.graph, source.data.waveform
    assert waveform is not None
    samples = round(waveform.segment.seconds * waveform.mel.sample_rate)
    cards = [leaf.card for leaf in source.leaves]
    for number, name in reversed(list(enumerate(source.inputs))):
        config = cards[source.fed.index(number)].of_model()[0].render_config.mel
        add_images(graph, config, samples, source.stft(config), name)
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(SAMPLES, TensorProto.FLOAT, [BATCH, samples]))
    onnx.checker.check_model(model)


def facts_of(source: Source, exporter: str, *, int8: bool) -> ExportFacts:
    """Return what a file says of itself."""
    waveform = source.data.waveform
    return ExportFacts(
        front=source.settings.front,
        model=source.model,
        stft=source.stft(waveform.mel) if waveform else "",
        int8=int8,
        exporter=exporter,
        environment={**environment(), "onnx": onnx.__version__},
    )


def checked(source: Source, converted: Converted, expected: Expected, out: Path) -> tuple[Product, GateReport]:
    """Return a file, not written yet, and its comparison with the run."""
    facts = facts_of(source, converted.exporter, int8=False)
    product = PRODUCTS[source.settings.format](stamped(converted.model.SerializeToString(), facts))
    images = source.inputs if source.settings.front == "audio" else ()
    comparison = compare(product.answer, expected, images)
    report = GateReport(
        run=source.run.card.name,
        file=out.name,
        digest=product.digest,
        bytes=product.size,
        format=source.settings.format,
        front=facts.front,
        stft=facts.stft,
        exporter=facts.exporter,
        segments=len(expected.items),
        batches=comparison.batches,
        cells=comparison.cells,
        labels=comparison.labels,
        int8=None,
        seconds=comparison.seconds,
        run_seconds=expected.seconds,
        environment=facts.environment,
    )
    return product, report


def eight_bits(
    source: Source, converted: Converted, expected: Expected, report: GateReport, out: Path, log: Log
) -> tuple[Product, GateReport]:
    """Return the 8-bit file of a graph that passed the gate, and its comparison with the run.

    Raises
    ------
    RunError
        it loses too much accuracy.
    """
    items = calibration_items(source.data)
    if len(items) < FEWEST:
        log(f"only {len(items)} training segments to measure ranges on; {FEWEST} or more give better ones")
    with quiet():
        small = quantize(converted.model, source.data, items)
        product = PRODUCTS[source.settings.format](
            stamped(small.SerializeToString(), facts_of(source, converted.exporter, int8=True))
        )
        images = source.inputs if source.settings.front == "audio" else ()
        comparison = compare(product.answer, expected, images)
        batches = consistency(product.answer, expected, comparison)
    lossy = replace(
        report,
        digest=product.digest,
        bytes=product.size,
        batches=batches,
        cells=comparison.cells,
        labels=(),
        int8=loss(source.model, expected, comparison.logits, len(items), report),
        seconds=comparison.seconds,
    )
    failures = list(lossy.failures(allow_loss=source.settings.allow_loss))
    if failures:
        raise RunError(f"{source.run.path} was not exported: {' and '.join(failures)}")
    return product, lossy


def write(product: Product, report: GateReport, out: Path) -> Exported:
    """Write a file and the report of its gate beside it."""
    product.write(out)
    path = out.with_suffix(".gate.json")
    write_document(path, "gate", REPORT_VERSION, {"report": report.to_dict()})
    return Exported(path=out, report_path=path, report=report)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what the exporters and the quantizer log to the root logger from the terminal."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
