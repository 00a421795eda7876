"""Classify music and sound from spectrogram pictures."""
