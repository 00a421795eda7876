"""Data sets on disk: layouts to read, pictures to render and store, splits that cannot leak."""
