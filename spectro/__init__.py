"""Classify music and sound from spectrogram pictures: the public names, listed in `__init__.pyi`, come on first use."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
