"""From an audio file to arrays: decoding, cutting into segments, and features."""
