"""From an audio file to arrays: decoding, cutting into segments, and features."""

NO_TORCH = "SPECTRO_NO_TORCH"
"""Variable of the environment that is set in processes that will never load torch."""
