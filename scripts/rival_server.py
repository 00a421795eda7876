"""A FastAPI and torch endpoint as most people write it: what `scripts/bench serve` measures the server against."""

import os

import librosa
import numpy as np
import torch
from fastapi import FastAPI, UploadFile
from numpy.typing import NDArray

from spectro.core.runs import Run
from spectro.inference.classifier import load_classifier
from spectro.inference.torch_classifier import TorchClassifier

app = FastAPI()
run = Run.open(os.environ["RIVAL_RUN"])
classifier = load_classifier(run, "cpu")
assert isinstance(classifier, TorchClassifier)
network, labels = classifier.network, classifier.labels
config = run.card.of_model()[0].render_config
mel, length = config.mel, round(config.segment.seconds * config.mel.sample_rate)


def spectrograms(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `[segments, 1, bands, frames]` in 0..1, whole segments only."""
    images = []
    for begin in range(0, len(samples) - length + 1, length):
        power = librosa.feature.melspectrogram(
            y=samples[begin : begin + length], sr=mel.sample_rate, n_fft=mel.n_fft, hop_length=mel.hop_length,
            n_mels=mel.n_mels,
        )  # fmt: skip
        db = librosa.power_to_db(power, ref=np.max, top_db=mel.top_db)
        images.append((db[::-1] + mel.top_db) / mel.top_db)
    return np.stack(images)[:, None].astype(np.float32)


def answer(file: UploadFile) -> dict[str, object]:
    """Decode, compute the spectrograms, ask the network, and let the segments vote."""
    samples, _ = librosa.load(file.file, sr=mel.sample_rate)
    with torch.no_grad():
        probs = network(torch.from_numpy(spectrograms(samples))).softmax(dim=1).mean(dim=0).tolist()
    return {"label": labels[int(np.argmax(probs))], "probabilities": dict(zip(labels, probs, strict=True))}


@app.post("/async")
async def by_event_loop(file: UploadFile) -> dict[str, object]:
    """Answer as the examples of FastAPI do: one request after another."""
    return answer(file)


@app.post("/threads")
def by_threads(file: UploadFile) -> dict[str, object]:
    """Answer in FastAPI's pool of threads: up to 40 at a time."""
    return answer(file)
