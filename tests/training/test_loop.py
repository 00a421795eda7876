"""The training loop: on cached features as through the backbone, with little memory, and failing in one clear line."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from spectro.core.arrays import softmax
from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.core.errors import RunError
from spectro.core.runs import Run
from spectro.inference.batches import Batches, to_input
from spectro.models import build
from spectro.training import loop, save, task
from spectro.training.dataset import TrainingData
from spectro.training.devices import set_up
from spectro.training.finetune import finetune
from spectro.training.loop import fit
from spectro.training.task import Stage, Task
from tests.training.shared import QUICK, TINY

CPU = torch.device("cpu")


def test_a_head_on_cached_features_learns_as_on_the_frozen_backbone(data: Path) -> None:
    dataset = TrainingData.open(data, "group")
    images, val = dataset.store.spectrograms(), dataset.subsets["val"]
    task = Task(
        train=dataset.subsets["train"],
        val=val,
        truth=dataset.truth,
        classes=4,
        score=lambda logits: dataset.score(val, softmax(logits)),
    )
    config = FinetuneConfig(lr=1e-2, weight_decay=0.0, mixup=0.0, cutmix=0.0, device="cpu")
    losses = []
    for cached in (False, True):
        torch.manual_seed(0)
        network = build(ModelConfig(name="test_resnet", dropout=0.0), 4, images.shape[1:]).eval()
        for parameter in network.backbone.parameters():
            parameter.requires_grad_(False)
        module: nn.Module = network.head if cached else network
        with torch.inference_mode():
            features = network.features(to_input(np.array(images))).mean(dim=(2, 3), keepdim=True).half().numpy()
        batches = Batches(features if cached else images, CPU, 8)
        stage = Stage(
            name="frozen",
            module=module,
            epochs=4,
            lr=1e-2,
            train=(batches,),
            plain=batches,
            keep_eval=() if cached else (network.backbone,),
        )
        progress = fit(set_up("cpu", "fp32"), stage, task, config)
        losses.append([(row.train_loss, row.val.loss if row.val else 0.0) for row in progress.history])
    assert np.abs(np.array(losses[0]) - np.array(losses[1])).max() < 1e-4


def test_without_validation_the_last_epoch_is_kept(data: Path) -> None:
    dataset = TrainingData.open(data, "noval")
    batches = Batches(dataset.arrays(), CPU, 8)
    network = build(ModelConfig(name="cnn5"), 4, dataset.shape)
    task = Task(train=dataset.subsets["train"], truth=dataset.truth, classes=4)
    stage = Stage(name="scratch", module=network, epochs=2, lr=1e-3, train=(batches,), plain=batches)
    progress = fit(set_up("cpu", "fp32"), stage, task, QUICK)
    assert (progress.best_epoch, progress.history[-1].val) == (2, None)
    assert all(torch.equal(value, progress.best[name]) for name, value in network.state_dict().items())


def test_training_leaves_the_random_numbers_of_the_program_alone(data: Path, tmp_path: Path) -> None:
    def states() -> tuple[Tensor, Any, Any]:
        return torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]

    before = states()
    finetune(data, out=tmp_path / "run", model=TINY, config=QUICK, weights="none")
    after = states()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_a_loss_that_is_no_number_ends_with_one_clear_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_backward", lambda *_: ([(torch.tensor(torch.nan), 1.0)], torch.zeros(1, 4)))
    with pytest.raises(RunError, match=r"the loss became nan in epoch 1 of stage 'frozen'"):
        finetune(data, out=tmp_path / "run", model=TINY, config=QUICK, weights="none")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_no_numbers_end_with_one_clear_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    monkeypatch.setattr(task, "predict_logits", lambda _, __, items: np.full((len(items), 4), value, np.float32))
    with pytest.raises(RunError, match=r"outputs are not numbers after epoch 1 of stage 'frozen'") as stopped:
        finetune(data, out=tmp_path / "run", model=TINY, config=QUICK, weights="none")
    assert "\n" not in str(stopped.value)


def test_a_run_that_diverged_without_validation_is_not_completed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights of a last step may be no numbers though its loss was one."""
    monkeypatch.setattr(save, "predict_logits", lambda _, __, items: np.full((len(items), 4), np.nan, np.float32))
    with pytest.raises(RunError, match=r"probabilities of subset 'test' are not numbers") as stopped:
        finetune(data, out=tmp_path / "run", split="noval", model=TINY, config=QUICK, weights="none")
    assert "\n" not in str(stopped.value)
    assert not (tmp_path / "run" / "card.json").exists()


def test_a_rate_that_is_too_high_never_ends_in_a_traceback(data: Path, tmp_path: Path) -> None:
    config = FinetuneConfig(
        frozen_epochs=0, epochs=3, lr=0.99, finetune_lr=0.99, grad_clip=0, warmup_ratio=0, device="cpu"
    )
    run = tmp_path / "run"
    try:
        finetune(data, out=run, model=TINY, config=config, weights="none")
    except RunError as error:
        assert "\n" not in str(error)
        assert not (run / "card.json").exists()
    else:
        assert np.isfinite(Run.open(run).predictions("test").probs).all()


def test_a_batch_that_does_not_fit_is_halved_and_reported(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backward = loop._backward

    def small_memory(training: loop._Training, *args: Any) -> tuple[loop.Losses, Tensor]:
        if training.micro > 2:
            raise torch.OutOfMemoryError("no room")
        return backward(training, *args)

    monkeypatch.setattr(loop, "_backward", small_memory)
    run = finetune(data, out=tmp_path / "run", model=TINY, config=QUICK, weights="none", progress=True)
    assert "2 segments at a time" in capsys.readouterr().err
    assert run.card_path.exists()


@pytest.mark.parametrize("head", ["linear", "multi"])
def test_mixed_precision_computes_in_16_bits_and_keeps_weights_of_32(data: Path, tmp_path: Path, head: str) -> None:
    computed: set[torch.dtype] = set()

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(module, nn.Conv2d) and module.training and torch.is_grad_enabled():
            computed.add(output.dtype)

    hook = nn.modules.module.register_module_forward_hook(note)
    model = dataclasses.replace(TINY, head=head, dropout=0.0)
    losses = []
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        computed.clear()
        config = dataclasses.replace(QUICK, precision=precision, finetune_lr=1e-3)
        run = finetune(data, out=tmp_path / precision, model=model, config=config, weights="none")
        assert computed == {dtype}
        assert {value.dtype for value in load_file(run.weights_path).values() if value.is_floating_point()} == {
            torch.float32
        }
        losses.append([float(row["train_loss"]) for row in run.history()])
    hook.remove()
    assert np.allclose(losses[0], losses[1], rtol=0.05, atol=0.02)
