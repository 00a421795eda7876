"""Classify one audio file with a model of `spectro export --front audio`, without spectro: python reader.py MODEL FILE.

It needs onnxruntime, soundfile and soxr, and takes soft votes of segments and of equal members, which are the defaults.
"""

import json
import sys

import numpy as np
import onnxruntime
import soundfile
import soxr

session = onnxruntime.InferenceSession(sys.argv[1])
model = json.loads(session.get_modelmeta().custom_metadata_map["spectro"])["model"]
card = model["card"]
while model["members"]:  # members share rate and segments
    model = model["members"][0]
settings = model["card"]["feature"]["config"]
rate, segment = settings["mel"]["sample_rate"], settings["segment"]

sound, own_rate = soundfile.read(sys.argv[2], dtype="float32", always_2d=True)
sound = soxr.resample(sound.mean(axis=1), own_rate, rate)
length = round(segment["seconds"] * rate)
starts = list(range(0, max(1, len(sound) - length + 1), round(length * (1 - segment["overlap"]))))
tail = len(sound) - starts[-1] - length
if tail > 0 and tail >= segment["min_tail"] * length and segment["tail"] == "shift":
    starts.append(len(sound) - length)
pieces = [sound[start : start + length] for start in starts]
batch = np.stack([np.pad(piece, (0, length - len(piece))) for piece in pieces])

(logits,) = session.run(["logits"], {"samples": batch})  # [segments, members, classes]
odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
probs = (odds / odds.sum(axis=-1, keepdims=True)).mean(axis=(0, 1))
scaled = np.clip(probs, 1e-6, None) ** (1 / card["temperature"])
for label, probability in zip(card["labels"], scaled / scaled.sum(), strict=True):
    print(f"{probability:.6f} {label}")
