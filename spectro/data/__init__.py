"""Data sets on disk: layouts to read, spectrograms to render and store, features, and splits that cannot leak."""
