"""Layout `artist20`: six albums by each of twenty artists; the label is the artist, the group the album.

D. P. W. Ellis, "Classifying music audio with timbral and chroma features", ISMIR 2007. Split by group for the album
split that the paper asks for; a split by clip is the song split of the literature, with albums in two subsets.
"""

from __future__ import annotations

from pathlib import Path

from spectro.core.errors import DataError
from spectro.core.tables import Clip
from spectro.data.audio_files import list_audio
from spectro.data.datasets import DATASETS, DatasetInfo, locate
from spectro.data.layouts import LAYOUTS, Scan

DATASETS.add("artist20")(
    DatasetInfo(
        title="artist20",
        clips=1413,
        size="1413 songs of 6 albums by each of 20 artists, MP3 at 32 kbit/s, 16 kHz mono",
        licence="none: commercial recordings, for research only",
        home="https://labrosa.ee.columbia.edu/projects/artistid/",
        citation="D. P. W. Ellis, Classifying music audio with timbral and chroma features, ISMIR 2007",
        get="ask for it on its home page, unpack it, and give the folder with `mp3s-32k`",
        groups="album",
    )
)


@LAYOUTS.add("artist20")
def scan(source: Path) -> Scan:
    """Read `mp3s-32k/<artist>/<album>/<song>`: the label is the artist, the group the album.

    Raises
    ------
    DataError
        the folder has no `mp3s-32k`, or a song is elsewhere than in an artist's album.
    """
    root = locate(source, ("mp3s-32k", "artist20/mp3s-32k"), "artist20").resolve()
    files = list_audio(root)
    clips = []
    for name in files.names:
        parts = name.split("/")
        if len(parts) != 3:
            raise DataError(f"{root / name} is not in <artist>/<album>/ below {root}; unpack the archive again")
        clips.append(Clip(id=name, label=parts[0], group="/".join(parts[:2])))
    return Scan(root=root, clips=tuple(clips), layout="artist20", skipped=files.skipped())
