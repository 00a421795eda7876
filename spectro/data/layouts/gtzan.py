"""Layout `gtzan`: the GTZAN genre collection, with the fault-filtered split and what is known to be repeated in it.

The official folds are the fault-filtered split of C. Kereliuk, B. L. Sturm and J. Larsen, "Deep learning and music
adversaries", IEEE Transactions on Multimedia 17(11), 2015: 443 training, 197 validation and 290 test excerpts with no
artist in two of them; the 70 excerpts that it leaves out have no fold. Repetitions are those of B. L. Sturm, "The GTZAN
dataset: its contents, its faults, their effects on evaluation, and its future use", arXiv:1306.1461, 2013.
"""

from __future__ import annotations

import re
from pathlib import Path

from spectro.core.errors import DataError
from spectro.core.tables import Clip
from spectro.data.audio_files import list_audio
from spectro.data.datasets import DATASETS, DatasetInfo, locate
from spectro.data.layouts import LAYOUTS, Scan

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
NAME = re.compile(rf"({'|'.join(GENRES)})\.\d{{5}}", re.IGNORECASE)

FILTERED = {
    "train": {
        "blues": "29-49 73-97",
        "classical": "30-33 43-48 50-67 80-99",
        "country": "19-26 28-29 65-99",
        "disco": "5 15-20 22-37 39-45 47 49 53-54 56-57 59 61 70 73-74 89",
        "hiphop": "2-25 28-29 31-38 41-42 55-61 77-80",
        "jazz": "0-1 11-24 41 47-72",
        "metal": "2-3 5 21 24 35 46-57 59-66 69 71-72 79-80 84 86 89-99",
        "pop": "2-9 11-12 16-20 23-29 31-36 38-42 44 46 49-50 80 97-99",
        "reggae": "0-2 4 6 9 11-12 14-32 42-45 49-51 54-60 63 69",
        "rock": "0-9 16-26 57-70 91-99",
    },
    "val": {
        "blues": "0-11 50-60",
        "classical": "0-10 68-76",
        "country": "0-7 9-18 27 41-42 45 49",
        "disco": "0 2-4 6-14 46 48 52 67-68 72 75 90 95",
        "hiphop": "81-98",
        "jazz": "2-10 25-32",
        "metal": "0-1 6-11 16-20 36-37 68 76-77 81-82",
        "pop": "10 53 55 58-62 81 83-86",
        "reggae": "61-62 70 72 74 76-78 85 92-99",
        "rock": "38 49-56 71-85",
    },
    "test": {
        "blues": "12-28 61-72 98-99",
        "classical": "11-29 34-41 49 77-79",
        "country": "30-40 43-44 46-48 50-51 53-64",
        "disco": "1 21 58 62-66 69 76-88 91-94 96-97 99",
        "hiphop": "0 26-27 30 40 43-45 51-54 62-75 99",
        "jazz": "73-99",
        "metal": "12-15 22-23 25-33 38-39 67 70 73-75 78 83 85 87-88",
        "pop": "0-1 13-14 43 63-66 69-79 82 88-96",
        "reggae": "34-40 46-48 52-53 64-68 71 79 82-84 87-90",
        "rock": "10-15 27-37 39-48 86-90",
    },
}
"""Numbers of the excerpts in each fold of the fault-filtered split."""

IDENTICAL = {
    "country": "8=51 52=60",
    "disco": "50=51=70 55=60=89 71=74 98=99",
    "hiphop": "39=45 76=78",
    "jazz": "33=51 34=53 35=55 36=58 37=60 38=62 39=65 40=67 42=68 43=69 44=70 45=71 46=72",
    "metal": "4=13 34=94 40=61 41=62 42=63 43=64 44=65 45=66",
    "pop": "15=22 30=31 45=46 47=80 52=57 54=60 56=59 67=71 87=90",
    "reggae": "3=54 5=56 8=57 10=60 13=58 41=69 73=74 80=81=82 75=91=92",
}
"""Excerpts that are the same, sample for sample or nearly so; `metal.00058` and `rock.00016` are so across genres."""

SAME_RECORDING = {
    "classical": "42=53",
    "disco": "38=78",
    "hiphop": "1=42 46=65 47=67 48=68 49=69 50=72",
    "pop": "68=73 15=21=22 47=48=51 52=54 57=60",
    "reggae": "7=59 33=44",
}
"""Excerpts from other parts of the same recording."""


def _numbers(text: str) -> list[int]:
    """Return the numbers of `"0-2 5"`: 0, 1, 2, 5."""
    bounds = [part.split("-") for part in text.split()]
    return [number for bound in bounds for number in range(int(bound[0]), int(bound[-1]) + 1)]


def _stem(genre: str, number: int) -> str:
    return f"{genre}.{number:05d}"


def _sets(table: dict[str, str]) -> list[tuple[str, ...]]:
    """Return the sets of `{"pop": "1=2 3=4=5"}` as file names without suffix."""
    return [
        tuple(_stem(genre, int(number)) for number in part.split("="))
        for genre, text in table.items()
        for part in text.split()
    ]


FOLD_OF = {
    _stem(genre, number): fold
    for fold, genres in FILTERED.items()
    for genre, text in genres.items()
    for number in _numbers(text)
}
REPEATED = (*_sets(IDENTICAL), ("metal.00058", "rock.00016"), *_sets(SAME_RECORDING))

DATASETS.add("gtzan")(
    DatasetInfo(
        title="GTZAN genre collection",
        clips=1000,
        classes=dict.fromkeys(GENRES, 100),
        size="1.2 GB, 1000 excerpts of 30 s at 22 050 Hz mono",
        licence="none: commercial recordings collected for research, not to be passed on",
        home="http://marsyas.info/downloads/datasets.html",
        citation="G. Tzanetakis, P. Cook, Musical genre classification of audio signals, IEEE Trans. Speech and "
        "Audio Processing 10(5), 2002; its faults: B. L. Sturm, arXiv:1306.1461, 2013",
        get="download it from Kaggle (andradaolteanu/gtzan-dataset-music-genre-classification) or a mirror of "
        "genres.tar.gz, unpack it, and give the folder with `genres` or `genres_original`",
        groups="recording, where a repetition is known; else the excerpt (artists: use the official folds)",
        stems=frozenset(_stem(genre, number) for genre in GENRES for number in range(100)),
        faults={
            "jazz.00054": "its header is damaged in the Kaggle copy",
            "reggae.00086": "all but the first 5 seconds are distorted beyond use",
        },
        repeated=REPEATED,
    )
)


@LAYOUTS.add("gtzan")
def scan(source: Path) -> Scan:
    """Read `<genre>/<genre>.<number>.<suffix>`; a group is a recording, the folds are the fault-filtered split.

    Raises
    ------
    DataError
        the folder is not GTZAN's, or has an excerpt twice.
    """
    names = [
        f"{folder}{genre}"
        for folder in ("", "genres/", "genres_original/", "Data/genres_original/")
        for genre in GENRES
    ]
    root = locate(source, names, "gtzan").parent.resolve()
    group_of: dict[str, str] = {}
    for members in REPEATED:
        name = next((group_of[member] for member in members if member in group_of), members[0])
        group_of |= dict.fromkeys(members, name)
    clips: dict[str, Clip] = {}
    files = list_audio(root)
    for name in files.names:
        genre, stem = str(Path(name).parent), Path(name).stem
        if genre not in GENRES or not NAME.fullmatch(stem):
            continue
        if stem in clips:
            raise DataError(f"{root / genre} has {stem} twice, as {clips[stem].id} and {name}; keep one of them")
        clips[stem] = Clip(id=name, label=genre, group=group_of.get(stem, stem), fold=FOLD_OF.get(stem, ""))
    skipped = files.skipped(clip.id for clip in clips.values())
    return Scan(root=root, clips=tuple(clips.values()), layout="gtzan", skipped=skipped)
