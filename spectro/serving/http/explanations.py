"""What decided a segment, as an image on demand: one is computed at a time, few wait, and each is computed once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import numpy as np

from spectro.core.arrays import Floats32, Image
from spectro.core.distribution import require_packages
from spectro.core.errors import ConfigError, did_you_mean
from spectro.data import png
from spectro.serving.http.jobs import Job, JobStore
from spectro.serving.http.problems import RETRY_SECONDS, Problem
from spectro.serving.http.served_run import Explainable
from spectro.serving.http.upload_decoding import read_input

MOST_WAITING = 4
"""Explanations asked for at a time, the one that is computed included: each takes hundreds of forward passes."""


class Explainer:
    """Computes explanations beside the thread that predicts, with the network that it has loaded.

    Parameters
    ----------
    store
        Keeps the jobs, and with each its explanations.
    """

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def image(self, job: Job, number: int, member: str) -> tuple[bytes, dict[str, str]]:
        """Return where a network finds the answer of a job in one of its segments.

        Parameters
        ----------
        job
            A job that is done.
        number
            Number of the segment among those of the network, from 0.
        member
            Name of the network; empty for the first that can be explained.

        Returns
        -------
        bytes, dict
            A grey PNG `[bands, frames]`, white where the answer is found, and its tags: `label`, `member`, `method`
            (`grad-cam`, or `occlusion` where the network has no feature map), and `check` (`passes` where the class is
            lost sooner in this order than in a random one).

        Raises
        ------
        Problem
            404 where there is nothing to explain or no such segment, 503 where too many wait.
        """
        name, network = _network(job, member)
        assert job.decoded is not None
        assert job.answer is not None
        decoded = job.decoded.inputs[network.input]
        if number >= len(decoded.starts):
            raise Problem(404, "no-such-segment", f"{name} has {len(decoded.starts)} segments, counted from 0.")
        if self._waiting >= MOST_WAITING:
            detail = f"{MOST_WAITING} explanations are being computed; ask again in {RETRY_SECONDS} s."
            raise Problem(503, "busy", detail, retry=RETRY_SECONDS)
        path = job.folder / f"explanation-{list(job.run.explainable(job.overlap)).index(name)}-{number}.png"
        self._waiting += 1
        try:
            async with self._turn:
                self._store.get(job.id)  # it may have been forgotten meanwhile
                if not path.exists():
                    image = np.array(read_input(job.folder, network.input, decoded)[number])
                    content = await asyncio.to_thread(_explain, network, image, name, job.answer.answer.label)
                    self._keep(job, path, content)
                    return content, _tags(content)
                content = path.read_bytes()
        finally:
            self._waiting -= 1
        return content, _tags(content)

    def _keep(self, job: Job, path: Path, content: bytes) -> None:
        """Keep an explanation with its job, where that is still there and the disk has room."""
        with suppress(Problem, OSError):
            self._store.grow(job, job.size + len(content))
            path.write_bytes(content)


def _network(job: Job, member: str) -> tuple[str, Explainable]:
    """Return the network to explain, with its name."""
    networks = job.run.explainable(job.overlap)
    if not networks:
        detail = (
            f"{job.run.name} cannot be explained: only a run of a network, or an ensemble with one, that takes "
            "mel-spectrograms can (no exported file); serve such a run."
        )
        raise Problem(404, "no-explanation", detail)
    name = member or next(iter(networks))
    if name not in networks:
        hint = did_you_mean(name, networks)
        detail = f"There is no network '{name[:60]}' to explain{hint} (there are {', '.join(networks)})."
        raise Problem(404, "no-such-member", detail)
    return name, networks[name]


def _tags(content: bytes) -> dict[str, str]:
    parsed = png.parse(content)
    assert parsed is not None
    return dict(parsed.tags)


def _explain(network: Explainable, image: Image, name: str, label: str) -> bytes:
    """Return Grad-CAM of a segment as a PNG, or occlusion where there is no map; its tags tell whether to rely on it.

    Raises
    ------
    Problem
        404 where a library for it is not installed.
    """
    try:
        require_packages("An explanation", "torch", "pytorch_grad_cam")
    except ConfigError as error:
        raise Problem(404, "no-explanation", str(error)) from None
    from spectro.explain.saliency import deletion, grad_cam, occlusion, random_deletion
    from spectro.inference.torch_classifier import TorchClassifier

    classifier = network.model.classifier
    assert isinstance(classifier, TorchClassifier)
    target = classifier.labels.index(label)
    importance, method = grad_cam(classifier.network, image, target), "grad-cam"
    if importance is None:
        importance, method = _positive(occlusion(classifier.predict_proba, image, target)), "occlusion"
    area = deletion(classifier.predict_proba, image, target, importance).area
    passes = area < random_deletion(classifier.predict_proba, image, target).area
    tags = {"label": label, "member": name, "method": method, "check": "passes" if passes else "fails"}
    return png.encode(np.rint(255 * importance).astype(np.uint8), tags)


def _positive(importance: Floats32) -> Floats32:
    """Return importance from 0 to 1, without what speaks against the class."""
    positive: Floats32 = np.maximum(importance, 0)
    return positive if positive.max() == 0 else positive / positive.max()
