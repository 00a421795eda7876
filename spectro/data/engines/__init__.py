"""Engines: ways to run one function over many clips."""
