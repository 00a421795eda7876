"""Experiments: many models trained under one protocol and compared."""
