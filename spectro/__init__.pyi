from .core.config import FinetuneConfig as FinetuneConfig
from .core.config import MelConfig as MelConfig
from .core.config import RenderConfig as RenderConfig
from .core.config import SegmentConfig as SegmentConfig
from .core.config import SplitConfig as SplitConfig
from .core.errors import AudioError as AudioError
from .core.predictions import Predictions as Predictions
