"""Explanations: which frequencies and times decided a prediction."""
