"""Training: a run can be repeated, killed and resumed to the same bits, and each failure ends in one clear line."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from spectro.core.arrays import softmax
from spectro.core.config import FinetuneConfig, ModelConfig, RenderConfig, SplitConfig
from spectro.core.errors import ConfigError, RunError, WeightsError
from spectro.core.runs import Run
from spectro.core.tables import read_csv
from spectro.data.render import render
from spectro.data.splits import split
from spectro.data.store import open_store
from spectro.inference.batches import Batches, to_input
from spectro.inference.classifier import load_classifier, predict_pictures
from spectro.training.backbone_features import frozen_features
from spectro.training.checkpoint import load_checkpoint
from spectro.training.dataset import TrainingData
from spectro.training.devices import set_up
from spectro.training.finetune import finetune
from spectro.training.loop import Progress, Stage, Task, fit

QUICK = FinetuneConfig(epochs=2, finetune_epochs=2, batch_size=8, device="cpu")
TINY = ModelConfig(name="test_resnet", dropout=0.1)


@pytest.fixture(scope="module")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "data"
    shutil.copytree(rendered, folder)
    split(folder, config=SplitConfig(by="group", test=0.34, val=0.3))
    return folder


def history(run: Path) -> list[dict[str, str]]:
    rows = read_csv(run / "history.csv", ("epoch",))
    return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows]


def differing(one: Path, other: Path) -> dict[str, float]:
    """Return the largest difference in each weight that is not the same to the bit."""
    first, second = (load_file(run / "weights.safetensors") for run in (one, other))
    assert first.keys() == second.keys()
    unlike = [name for name in first if not torch.equal(first[name], second[name])]
    return {name: float((first[name].double() - second[name].double()).abs().max()) for name in unlike}


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "straight"
    return finetune(data, out=out, model=TINY, config=QUICK, weights="none").path


def test_a_run_folder_holds_all_that_is_needed_and_nothing_pickled_but_its_checkpoint(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "card.json", "history.csv", "job.json", "predictions-test.npz", "predictions-val.npz", "weights.safetensors",
    }  # fmt: skip
    card = json.loads((finished / "card.json").read_text())
    assert card["labels"] == ["chirp", "hiss", "hum", "pulse"]
    assert card["history"]["finetune_starts"] == 3
    assert not card["split"]["leaky"]
    assert [row["stage"] for row in history(finished)] == ["frozen", "frozen", "finetune", "finetune"]


def test_a_loaded_model_says_what_the_trained_one_said(finished: Path, data: Path) -> None:
    dataset = TrainingData.open(data, "group")
    classifier = load_classifier(finished)
    said = Run.open(finished).predictions("test")
    probs = classifier.predict_proba(dataset.store.pictures()[dataset.folds["test"]])
    assert np.abs(said.probs - probs).max() < 1e-5


def test_other_pictures_are_judged_only_if_they_were_rendered_alike(
    finished: Path, data: Path, corpus: Path, tmp_path: Path, small: RenderConfig
) -> None:
    said = predict_pictures(finished, data)
    test = Run.open(finished).predictions("test")
    rows = [said.ids.index(name) for name in test.ids]
    assert np.abs(said.probs[rows] - test.probs).max() < 1e-5
    other = dataclasses.replace(small, mel=dataclasses.replace(small.mel, hop_length=256))
    elsewhere = render(corpus, out=tmp_path / "other", config=other, workers=1).data
    with pytest.raises(RunError, match=r"mel\.hop_length: 512 here, 256 there"):
        predict_pictures(finished, elsewhere)


def test_the_same_command_gives_the_same_numbers(finished: Path, data: Path, tmp_path: Path) -> None:
    again = finetune(data, out=tmp_path / "again", model=TINY, config=QUICK, weights="none").path
    assert history(again) == history(finished)
    assert not differing(finished, again)


AFTER_RENDERING = """
import sys, spectro
spectro.render(sys.argv[1], out=sys.argv[2], workers=1)
config = spectro.FinetuneConfig(epochs=2, finetune_epochs=2, batch_size=8, device="cpu")
model = spectro.ModelConfig(name="test_resnet", dropout=0.1)
spectro.finetune(sys.argv[3], out=sys.argv[4], model=model, config=config, weights="none")
"""


def test_a_rendering_in_the_same_process_changes_no_bit(
    finished: Path, data: Path, corpus: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    subprocess.run([sys.executable, "-c", AFTER_RENDERING, corpus, tmp_path / "other", data, run], check=True)
    assert not differing(finished, run)


def test_a_finished_run_is_returned_and_other_settings_are_refused(finished: Path, data: Path) -> None:
    written = (finished / "card.json").stat().st_mtime_ns
    finetune(data, out=finished, model=TINY, config=QUICK, weights="none")
    assert (finished / "card.json").stat().st_mtime_ns == written
    with pytest.raises(RunError, match=r"training\.lr: 0\.001 there, 0\.002 here"):
        finetune(data, out=finished, model=TINY, config=dataclasses.replace(QUICK, lr=2e-3), weights="none")


def test_a_setting_of_a_later_version_does_not_estrange_a_run(finished: Path, data: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    job = json.loads((run / "job.json").read_text())
    del job["training"]["cache_finetune"]
    (run / "job.json").write_text(json.dumps(job))
    finetune(data, out=run, model=TINY, config=QUICK, weights="none")
    later = dataclasses.replace(QUICK, unfreeze=1, cache_finetune=True)
    with pytest.raises(RunError, match=r"training\.cache_finetune: False there, True here"):
        finetune(data, out=run, model=TINY, config=later, weights="none")


SCRIPT = """
import os, signal, sys
from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.training import loop
from spectro.training.finetune import finetune
steps, last = 0, int(sys.argv[3])
backward = loop._backward
def counted(*args):
    global steps
    steps += 1
    if steps == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return backward(*args)
loop._backward = counted
config = FinetuneConfig(epochs=2, finetune_epochs=2, batch_size=8, device="cpu")
model = ModelConfig(name="test_resnet", dropout=0.1)
finetune(sys.argv[1], out=sys.argv[2], model=model, config=config, weights="none")
"""


@pytest.mark.parametrize("step", [2, 4, 8])  # in the frozen stage, at the start of fine-tuning, in its last epoch
def test_killed_and_repeated_it_ends_like_the_uninterrupted_run(
    finished: Path, data: Path, tmp_path: Path, step: int
) -> None:
    out = tmp_path / "killed"
    killed = subprocess.run([sys.executable, "-c", SCRIPT, data, out, str(step)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (out / "card.json").exists()
    finetune(data, out=out, model=TINY, config=QUICK, weights="none")
    assert history(out) == history(finished)
    assert not differing(finished, out)
    assert not (out / "checkpoint.pt").exists()


def test_a_head_on_cached_features_learns_as_on_the_frozen_backbone(data: Path) -> None:
    from spectro.models import build
    from spectro.training.finetune import _groups

    dataset = TrainingData.open(data, "group")
    pictures = dataset.store.pictures()
    losses = []
    for cached in (False, True):
        torch.manual_seed(0)
        network = build(ModelConfig(name="test_resnet", dropout=0.0), 4, pictures.shape[1:]).eval()
        for parameter in network.backbone.parameters():
            parameter.requires_grad_(False)
        module: nn.Module = network.head if cached else network
        with torch.inference_mode():
            features = network.features(to_input(np.array(pictures))).mean(dim=(2, 3), keepdim=True).half().numpy()
        batches = Batches(features if cached else pictures, torch.device("cpu"), 8)
        config = FinetuneConfig(epochs=4, lr=1e-2, mixup=0.0, device="cpu")
        val = dataset.folds["val"]
        task = Task(
            train=dataset.folds["train"], val=val, truth=dataset.truth, classes=4, class_weights=None,
            score=lambda logits, val=val: dataset.score(val, softmax(logits)),
        )  # fmt: skip
        stage = Stage(
            name="frozen", module=module, groups=_groups(module, 0.0, 1.0), epochs=4, lr=1e-2,
            train=lambda _, batches=batches: batches, plain=batches,
            keep_eval=() if cached else (network.backbone,),
        )  # fmt: skip
        progress = Progress()
        fit(set_up("cpu", "fp32"), stage, task, config, progress, save=lambda _: None, tick=lambda _: None, tell=print)
        losses.append([(row["train_loss"], row["val_loss"]) for row in progress.history])
    assert np.abs(np.array(losses[0]) - np.array(losses[1])).max() < 1e-4


def test_features_are_computed_once_and_shared(data: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(QUICK, finetune_epochs=0, views=2)
    finetune(data, out=tmp_path / "one", model=TINY, config=config, weights="none")
    cache = next(path for path in data.glob("mel-*") if path.is_dir()) / "features"
    times = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    finetune(data, out=tmp_path / "two", model=TINY, config=dataclasses.replace(config, lr=2e-3), weights="none")
    assert times == {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}


def test_maps_and_curves_read_the_cache_that_training_filled(data: Path, tmp_path: Path) -> None:
    store = open_store(data)
    finetune(
        data, out=tmp_path / "one", model=TINY, config=dataclasses.replace(QUICK, finetune_epochs=0), weights="none"
    )
    before = {path: path.stat().st_mtime_ns for path in (store.path / "features").iterdir()}
    kept = frozen_features(store, TINY, "none")
    assert before == {path: path.stat().st_mtime_ns for path in (store.path / "features").iterdir()}
    for path in before:
        path.unlink()
    assert np.allclose(frozen_features(store, TINY, "none"), kept, atol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"balance": "none"}, {"balance": "sampler"}, {"balance": "focal"}, {"mixup": 0.4}, {"ema": 0.9},
        {"schedule": "plateau", "patience": 1}, {"schedule": "constant"}, {"bn": "frozen"}, {"unfreeze": 1},
        {"layer_decay": 0.7}, {"augment": "none"}, {"epochs": 0}, {"clip_norm": 0.0},
        {"unfreeze": 1, "cache_finetune": True, "views": 2, "layer_decay": 0.7},
    ],
)  # fmt: skip
def test_every_setting_trains(data: Path, tmp_path: Path, change: dict[str, object]) -> None:
    config = dataclasses.replace(QUICK, **{"epochs": 1, "finetune_epochs": 1, **change})  # type: ignore[arg-type]
    run = finetune(data, out=tmp_path / "run", model=TINY, config=config, weights="none")
    assert np.isfinite(run.predictions("test").probs).all()
    assert run.card()["training"] == config.to_dict()


def test_unfreezing_the_last_stage_leaves_the_first_as_it_was(data: Path, tmp_path: Path) -> None:
    first = finetune(
        data, out=tmp_path / "a", model=TINY, config=dataclasses.replace(QUICK, finetune_epochs=0), weights="none"
    )
    config = dataclasses.replace(QUICK, epochs=0, finetune_epochs=2, unfreeze=1, finetune_lr=1e-2)
    second = finetune(data, out=tmp_path / "b", model=TINY, config=config, weights="none")
    before, after = load_file(first.weights_path), load_file(second.weights_path)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any(name.startswith(("backbone.model.conv1", "backbone.model.layer1")) for name in changed)


@pytest.mark.parametrize("bn", ["train", "frozen"])
def test_fine_tuning_on_cached_inputs_learns_as_through_the_frozen_stages(data: Path, tmp_path: Path, bn: str) -> None:
    config = dataclasses.replace(
        QUICK, finetune_epochs=3, unfreeze=2, augment="none", mixup=0.0, bn=bn  # type: ignore[arg-type]
    )  # fmt: skip
    runs = [
        finetune(
            data, out=tmp_path / str(cached), model=dataclasses.replace(TINY, dropout=0.0),
            config=dataclasses.replace(config, cache_finetune=cached), weights="none",
        )
        for cached in (False, True)
    ]  # fmt: skip
    losses = [[float(row["train_loss"]) for row in read_csv(run.history_path, ("train_loss",))] for run in runs]
    assert np.allclose(*losses, atol=2e-3)  # the cache keeps 11 bits of each number
    assert np.allclose(*(run.predictions("test").probs for run in runs), atol=5e-3)


def test_caching_without_frozen_stages_is_refused() -> None:
    with pytest.raises(ConfigError, match="unfreeze"):
        FinetuneConfig(cache_finetune=True)


def test_a_network_of_our_own_learns_the_synthetic_classes(data: Path, tmp_path: Path) -> None:
    run = finetune(
        data, out=tmp_path / "cnn5", model=ModelConfig(name="cnn5"),
        config=dataclasses.replace(QUICK, epochs=12, lr=3e-3, augment="none"),
    )  # fmt: skip
    clips = run.predictions("test").pool()
    assert (clips.predicted == clips.truth).mean() >= 0.75


def test_a_network_of_our_own_is_not_left_untrained(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'cnn5' has no frozen stage"):
        finetune(data, out=tmp_path / "run", model=ModelConfig(name="cnn5"), config=FinetuneConfig(epochs=0))


def test_a_run_that_could_not_start_gives_way_to_one_of_other_settings(data: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        finetune(data, out=tmp_path / "run", model=TINY, config=QUICK, weights=str(tmp_path / "missing.safetensors"))
    run = finetune(data, out=tmp_path / "run", model=TINY, config=QUICK, weights="none")
    with pytest.raises(RunError, match="holds a run of other settings"):
        finetune(data, out=run.path, model=TINY, config=dataclasses.replace(QUICK, seed=1), weights="none")


def test_a_loss_that_is_no_number_ends_with_one_clear_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spectro.training import loop

    monkeypatch.setattr(loop, "_backward", lambda *_: (float("nan"), torch.zeros(1, 4)))
    with pytest.raises(RunError, match=r"the loss became nan in epoch 1 of stage 'frozen'"):
        finetune(data, out=tmp_path / "run", model=TINY, config=QUICK, weights="none")


def test_a_batch_that_does_not_fit_is_halved_and_says_so(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from spectro.training import loop

    backward = loop._backward

    def small_memory(*args: object) -> object:
        if args[-1] > 2:  # type: ignore[operator]
            raise torch.OutOfMemoryError("no room")
        return backward(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "_backward", small_memory)
    run = finetune(data, out=tmp_path / "run", model=TINY, config=QUICK, weights="none", progress=True)
    assert "2 segments at a time" in capsys.readouterr().err
    assert run.card_path.exists()


def test_a_full_disk_keeps_the_last_checkpoint(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spectro.training import checkpoint

    written = []
    save = torch.save

    def fill(value: object, path: Path) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(path)
        save(value, path)

    monkeypatch.setattr(checkpoint.torch, "save", fill)
    with pytest.raises(RunError, match="is the disk full"):
        finetune(data, out=tmp_path / "run", model=TINY, config=QUICK, weights="none")
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    assert [row["epoch"] for row in history(tmp_path / "run")] == ["1"]


def test_an_interruption_leaves_whole_files_and_says_how_to_go_on(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    spectro = ["env", "--default-signal=INT", sys.executable, "-m", "spectro"]  # background jobs inherit an ignored one
    command = [*spectro, "finetune", data, "--out", out, "--backbone", "test_resnet"]
    options = ["--weights", "none", "--epochs", "100000", "--finetune-epochs", "0", "--device", "cpu"]
    running = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    while not (out / "history.csv").exists():
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate()
    assert running.returncode == 130
    finished = len(load_checkpoint(Run(out)).history)
    assert finished > 0
    assert f"spectro: interrupted after {finished} finished epoch" in said.splitlines()[-1]
    assert said.splitlines()[-1].endswith("the same command goes on from here")
    assert {path.name for path in out.iterdir()} == {"checkpoint.pt", "history.csv", "job.json"}


@pytest.mark.parametrize("work", ["features", "batches"])
def test_a_machine_that_fails_ends_with_one_clear_line_and_no_half_written_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    from spectro.inference import batches
    from spectro.training import backbone_features as embeddings

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    config = dataclasses.replace(QUICK, seed=5)  # features of its own
    where = (embeddings, "write_array_header_1_0") if work == "features" else (batches.Batches, "_make")
    monkeypatch.setattr(*where, fail)
    with pytest.raises(RunError, match=r"Input/output error; .* keeps 0 finished epochs") as stopped:
        finetune(data, out=tmp_path / "run", model=TINY, config=config, weights="none")
    assert "\n" not in str(stopped.value)
    assert not list(data.rglob("*.tmp"))
