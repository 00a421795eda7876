"""The decoders: libsndfile first, FFmpeg (by way of PyAV) where that cannot; both give blocks of samples."""
