"""Inference: what a finished run predicts for audio, without anything that trains models."""
