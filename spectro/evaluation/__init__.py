"""Evaluate predictions: metrics with intervals, calibration, paired comparisons, ensembles and cross-validation."""
