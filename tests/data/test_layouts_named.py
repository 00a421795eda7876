"""Named layouts: each reads a miniature of the real tree, oddities included, and knows what should be there."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from spectro.core.config import SplitConfig
from spectro.core.errors import ConfigError, DataError
from spectro.core.tables import Clip, write_clips, write_csv
from spectro.data.datasets import DATASETS
from spectro.data.layouts import LAYOUTS, scan
from spectro.data.layouts.gtzan import FOLD_OF, GENRES, REPEATED
from spectro.data.splits import split
from spectro.data.verify import verify


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")


def table(path: Path, *rows: tuple[object, ...]) -> None:
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


MINIATURES = {
    "gtzan": gtzan, "fma-small": fma, "fma-medium": fma, "artist20": artist20, "esc50": esc50, "esc10": esc50,
    "urbansound8k": urbansound8k, "audiofolder": audiofolder,
}  # fmt: skip


@pytest.mark.parametrize("name", MINIATURES)
def test_every_clip_that_is_listed_is_there_with_label_and_group(name: str, tmp_path: Path) -> None:
    found = scan(MINIATURES[name](tmp_path), name)
    assert found.layout == name
    assert found.root.is_absolute()
    assert [clip.id for clip in found.clips] == sorted({clip.id for clip in found.clips})
    for clip in found.clips:
        assert (found.root / clip.id).is_file()
        assert clip.label
        assert clip.group


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name in DATASETS])
def test_a_folder_without_the_data_set_says_how_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"home page|download") as raised:
        scan(tmp_path, name)
    assert "\n" not in str(raised.value)


def test_every_named_data_set_has_a_layout() -> None:
    assert DATASETS.keys() <= LAYOUTS.keys()


def by_id(root: Path, name: str) -> dict[str, Clip]:
    return {clip.id: clip for clip in scan(root, name).clips}


def test_gtzan_has_the_published_filtered_split(tmp_path: Path) -> None:
    clips = scan(gtzan(tmp_path), "gtzan").clips
    assert Counter(clip.fold for clip in clips) == {"train": 443, "val": 197, "test": 290, "": 70}
    assert Counter(FOLD_OF.values()).total() == 930
    write_clips(tmp_path / "data" / "clips.csv", clips)
    write_csv(tmp_path / "data" / "failed.csv", ("path", "reason", "seconds", "message"), [])
    (made,) = split(tmp_path / "data", config=SplitConfig(by="official"), name="filtered")
    assert made.facts["counts"] == {"train": 443, "val": 197, "test": 290}
    assert len(made.facts["left_out"]) == 70
    assert not made.leaky


def test_gtzans_repetitions_share_a_group_across_genres(tmp_path: Path) -> None:
    group = {Path(clip.id).stem: clip.group for clip in scan(gtzan(tmp_path), "gtzan").clips}
    assert group["metal.00058"] == group["rock.00016"]
    for members in REPEATED:
        assert len({group[member] for member in members}) == 1, members
    assert group["blues.00000"] == "blues.00000"


def test_gtzan_as_au_files_in_genres(tmp_path: Path) -> None:
    touch(tmp_path, "genres/blues/blues.00000.au", "genres/rock/rock.00016.au")
    assert [clip.label for clip in scan(tmp_path, "gtzan").clips] == ["blues", "rock"]
    touch(tmp_path, "genres/blues/blues.00000.wav")
    with pytest.raises(DataError, match=r"blues\.00000 twice"):
        scan(tmp_path, "gtzan")


def test_fma_reads_the_header_of_three_lines(tmp_path: Path) -> None:
    small, medium = by_id(fma(tmp_path), "fma-small"), by_id(tmp_path, "fma-medium")
    assert list(small) == ["000/000002.mp3", "000/000005.mp3", "098/098565.mp3"]
    assert medium.keys() - small.keys() == {"000/000010.mp3"}
    assert small["000/000002.mp3"].group == small["000/000005.mp3"].group == "artist 1"
    assert [clip.fold for clip in medium.values()] == ["train", "train", "test", "val"]
    (tmp_path / "fma_large").mkdir()
    assert by_id(tmp_path, "fma-large")["133/133297.mp3"].label == "Old-Time / Historic"
    assert "000/000020.mp3" not in by_id(tmp_path, "fma-large")


def test_fma_with_another_table_is_one_clear_line(tmp_path: Path) -> None:
    table(tmp_path / "fma_metadata" / "tracks.csv", ("track_id", "genre"), (1, "Rock"))
    (tmp_path / "fma_small").mkdir()
    with pytest.raises(DataError, match=r"tracks\.csv of fma_metadata\.zip"):
        scan(tmp_path, "fma-small")


def test_artist20_groups_by_album(tmp_path: Path) -> None:
    clips = by_id(artist20(tmp_path), "artist20")
    assert clips["madonna/First/01-Song.mp3"].label == "madonna"
    assert clips["madonna/First/01-Song.mp3"].group == clips["madonna/First/02-Song.mp3"].group == "madonna/First"
    assert len({clip.group for clip in clips.values()}) == 4


def test_esc_has_its_folds_and_recordings(tmp_path: Path) -> None:
    clips = by_id(esc50(tmp_path), "esc50")
    assert clips["audio/2-100210-A-36.wav"].group == clips["audio/2-100210-B-10.wav"].group == "100210"
    assert [clip.fold for clip in clips.values()] == ["1", "1", "2", "2"]
    assert by_id(tmp_path, "esc10").keys() == {"audio/1-100032-A-0.wav", "audio/2-100210-B-10.wav"}


def test_esc10_in_its_older_form_has_the_fold_in_the_name(tmp_path: Path) -> None:
    clips = by_id(esc10_old(tmp_path), "esc10")
    assert clips["001 - Dog bark/5-30226-B.ogg"] == Clip(
        id="001 - Dog bark/5-30226-B.ogg", label="dog_bark", group="30226", fold="5"
    )
    assert len(clips) == 3


def test_urbansound8k_groups_by_recording(tmp_path: Path) -> None:
    clips = by_id(urbansound8k(tmp_path), "urbansound8k")
    assert Counter(clip.group for clip in clips.values()) == {"100032": 1, "100263": 2, "100648": 1}
    assert clips["audio/fold10/100648-1-0-0.wav"].fold == "10"


def test_audiofolder_takes_folds_from_its_splits_and_classes_from_folders_without_a_table(tmp_path: Path) -> None:
    assert {clip.fold for clip in scan(audiofolder(tmp_path / "a"), "audiofolder").clips} == {"train", "val", "test"}
    touch(tmp_path / "b", "train/dog/1.WAV", "train/cat/1.wav", "test/dog/9.flac", "test/notes.txt")
    labels = {clip.id: (clip.label, clip.fold) for clip in scan(tmp_path / "b", "audiofolder").clips}
    assert labels == {
        "train/dog/1.WAV": ("dog", "train"), "train/cat/1.wav": ("cat", "train"), "test/dog/9.flac": ("dog", "test"),
    }  # fmt: skip
    (tmp_path / "c").mkdir()
    with pytest.raises(DataError, match="neither metadata"):
        scan(tmp_path / "c", "audiofolder")


def test_verify_finds_nothing_to_say_about_a_whole_copy_but_its_known_faults(tmp_path: Path) -> None:
    found = verify("gtzan", gtzan(tmp_path))
    assert found.problems == ()
    assert found.counts == dict.fromkeys(GENRES, 100)
    assert set(found.known_faults) == {"jazz/jazz.00054.wav", "reggae/reggae.00086.wav"}


def test_verify_names_what_is_missing(tmp_path: Path) -> None:
    root = gtzan(tmp_path)
    (root / "Data/genres_original/jazz/jazz.00054.wav").unlink()
    (root / "Data/genres_original/pop/pop.00001.wav").write_bytes(b"")
    found = verify("gtzan", root)
    assert found.missing == ("jazz.00054", "pop/pop.00001.wav")
    assert found.problems == (
        "2 files are missing or empty: jazz.00054, pop/pop.00001.wav",
        "class 'jazz' has 99 clips, but should have 100",
        "class 'pop' has 99 clips, but should have 100",
    )


def test_verify_counts_against_what_was_published(tmp_path: Path) -> None:
    root = urbansound8k(tmp_path)
    (root / "audio/fold10/100648-1-0-0.wav").unlink()
    problems = verify("urbansound8k", root).problems
    assert problems[0] == "1 file is missing or empty: audio/fold10/100648-1-0-0.wav"
    assert problems[1] == "4 clips are listed, but 8732 were published"


def test_verify_knows_fmas_broken_tracks(tmp_path: Path) -> None:
    assert verify("fma-small", fma(tmp_path)).known_faults == {"098/098565.mp3": "lasts 1.6 s, not 30"}


def test_an_unknown_data_set_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'gtzan'"):
        verify("gtzn", tmp_path)
