"""Miniatures of published data sets: their trees and tables with few or empty files."""

from __future__ import annotations

import csv
from pathlib import Path

from spectro.data.layouts.gtzan import GENRES


def touch(root: Path, *names: str) -> None:
    """Write files that are not empty."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")


def table(path: Path, *rows: tuple[object, ...]) -> None:
    """Write a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def gtzan(root: Path) -> Path:
    touch(root, *(f"Data/genres_original/{g}/{g}.{number:05d}.wav" for g in GENRES for number in range(100)))
    touch(root, "Data/genres_original/.DS_Store", "Data/features_30_sec.csv", "Data/images_original/pop/pop00000.png")
    return root


def fma(root: Path) -> Path:
    levels = [("", "album", "album", "artist", "set", "set", "track", "track")]
    names = [("", "comments", "title", "id", "split", "subset", "genre_top", "title")]
    index = [("track_id", "", "", "", "", "", "", "")]
    rows = [
        (2, 0, "A, B", 1, "training", "small", "Hip-Hop", "Food"),
        (5, 0, "two\nlines", 1, "training", "small", "Hip-Hop", "This World"),
        (98565, 0, "", 7, "validation", "small", "Rock", ""),
        (10, 0, "", 6, "test", "medium", "Pop", "Freeway"),
        (20, 0, "", 4, "training", "large", "", "Spiritual Level"),
        (133297, 0, "", 9, "test", "large", "Old-Time / Historic", ""),
    ]
    table(root / "fma_metadata" / "tracks.csv", *levels, *names, *index, *rows)
    for subset, tracks in {"small": (2, 5, 98565), "medium": (2, 5, 98565, 10)}.items():
        touch(root, *(f"fma_{subset}/{track // 1000:03d}/{track:06d}.mp3" for track in tracks))
    return root


def artist20(root: Path) -> Path:
    for artist in ("aerosmith", "madonna"):
        for album in ("First", "Second_Album"):
            touch(root, *(f"mp3s-32k/{artist}/{album}/{number:02d}-Song.mp3" for number in (1, 2)))
    touch(root, "lists/a20.txt")
    return root


def esc50(root: Path) -> Path:
    header = ("filename", "fold", "target", "category", "esc10", "src_file", "take")
    rows = [
        ("1-100032-A-0.wav", 1, 0, "dog", "True", 100032, "A"),
        ("1-100038-A-14.wav", 1, 14, "chirping_birds", "False", 100038, "A"),
        ("2-100210-A-36.wav", 2, 36, "vacuum_cleaner", "False", 100210, "A"),
        ("2-100210-B-10.wav", 2, 10, "rain", "True", 100210, "B"),
    ]
    table(root / "meta" / "esc50.csv", header, *rows)
    touch(root, *(f"audio/{row[0]}" for row in rows))
    return root


def esc10_old(root: Path) -> Path:
    touch(
        root, "001 - Dog bark/1-100032-A.ogg", "001 - Dog bark/5-30226-B.ogg", "002 - Rain/1-17367-A.ogg", "README.txt"
    )
    return root


def urbansound8k(root: Path) -> Path:
    header = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
    rows = [
        ("100032-3-0-0.wav", 100032, 0.0, 0.317551, 1, 5, 3, "dog_bark"),
        ("100263-2-0-117.wav", 100263, 58.5, 62.5, 1, 5, 2, "children_playing"),
        ("100263-2-0-121.wav", 100263, 60.5, 64.5, 1, 5, 2, "children_playing"),
        ("100648-1-0-0.wav", 100648, 4.8, 5.4, 2, 10, 1, "car_horn"),
    ]
    table(root / "metadata" / "UrbanSound8K.csv", header, *rows)
    touch(root, *(f"audio/fold{row[5]}/{row[0]}" for row in rows))
    return root


def audiofolder(root: Path) -> Path:
    for part in ("train", "validation", "test"):
        table(root / "data" / part / "metadata.csv", ("file_name", "label", "speaker"), ("a/1.wav", "yes", "x"))
        touch(root, f"data/{part}/a/1.wav")
    return root
