"""Serving: a finished run answers about audio files."""
