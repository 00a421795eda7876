"""Inference: a finished run answers about sound, with nothing of what trains models."""
