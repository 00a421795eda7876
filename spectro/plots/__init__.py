"""Plots: every drawing of results; the only package that imports matplotlib."""
