"""Named layouts: each reads a miniature of the real tree, irregularities included, and names what should be there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from spectro.core.config import SplitConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError
from spectro.core.tables import Clip
from spectro.data.datasets import DATASETS
from spectro.data.layouts import LAYOUTS, scan
from spectro.data.layouts.gtzan import FOLD_OF, REPEATED
from spectro.data.splits import split
from spectro.data.tables import write_tables
from tests.data.miniatures import artist20, audiofolder, esc10_old, esc50, fma, gtzan, table, touch, urbansound8k


def folder(root: Path) -> Path:
    touch(root, "rock/a.wav", "rock/live/b.mp3", "jazz/c.m4a")
    return root


def csv_table(root: Path) -> Path:
    table(folder(root) / "clips.csv", ("path", "label"), ("rock/a.wav", "rock"), ("jazz/c.m4a", "jazz"))
    return root


def fma_full(root: Path) -> Path:
    for subset in ("large", "full"):
        touch(fma(root), *(f"fma_{subset}/{name}.mp3" for name in ("000/000002", "000/000005", "098/098565")))
        touch(root, *(f"fma_{subset}/{name}.mp3" for name in ("000/000010", "133/133297")))
    return root


MINIATURES = {
    "gtzan": gtzan, "fma-small": fma, "fma-medium": fma, "artist20": artist20, "esc50": esc50, "esc10": esc50,
    "urbansound8k": urbansound8k, "audiofolder": audiofolder, "fma-large": fma_full, "fma-full": fma_full,
    "folder": folder, "csv": csv_table,
}  # fmt: skip


def test_every_layout_has_a_miniature() -> None:
    assert MINIATURES.keys() == LAYOUTS.keys()


@pytest.mark.parametrize("name", MINIATURES)
def test_what_is_beside_the_clips_is_counted_and_changes_none(name: str, tmp_path: Path) -> None:
    before = scan(MINIATURES[name](tmp_path), name)
    beside = Path(before.clips[0].id).parent
    touch(before.root, *(f"{beside}/{other}" for other in ("._x.wav", ".hidden/x.wav", "cover.jpg", ".DS_Store")))
    after = scan(tmp_path, name)
    assert after.clips == before.clips
    counts = Counter({(one.reason, one.suffix): one.count for one in after.skipped})
    counts.subtract({(one.reason, one.suffix): one.count for one in before.skipped})
    expected = {("hidden", ""): 3, ("suffix", ".jpg"): 1} if name != "csv" else {}  # only what a table of paths lists
    assert {key: count for key, count in counts.items() if count} == expected


@pytest.mark.parametrize("name", ["esc50", "urbansound8k", "fma-small", "gtzan", "audiofolder"])
def test_audio_that_a_data_set_does_not_list_is_counted(name: str, tmp_path: Path) -> None:
    before = scan(MINIATURES[name](tmp_path), name)
    touch(before.root, f"{Path(before.clips[0].id).parent}/more.webm")
    skipped = scan(tmp_path, name).skipped
    assert [one.count for one in skipped if (one.reason, one.suffix) == ("unlisted", ".webm")] == [1]


@pytest.mark.parametrize("name", ["csv", "audiofolder"])
def test_a_hidden_file_in_a_table_is_left_out_and_counted_once(name: str, tmp_path: Path) -> None:
    root = MINIATURES[name](tmp_path)
    path = root / ("clips.csv" if name == "csv" else "data/test/metadata.csv")
    path.write_text(path.read_text() + ("rock/._a.wav,x\n" if name == "csv" else "a/._1.wav,x,y\n"))
    touch(root, "rock/._a.wav" if name == "csv" else "data/test/a/._1.wav")
    listing = scan(root, name)
    assert not any("._" in clip.id for clip in listing.clips)
    assert [one.count for one in listing.skipped if one.reason == "hidden"] == [1]


@pytest.mark.parametrize("name", MINIATURES)
def test_every_clip_that_is_listed_is_there_with_label_and_group(name: str, tmp_path: Path) -> None:
    listing = scan(MINIATURES[name](tmp_path), name)
    assert listing.layout == name
    assert listing.root.is_absolute()
    assert [clip.id for clip in listing.clips] == sorted({clip.id for clip in listing.clips})
    for clip in listing.clips:
        assert (listing.root / clip.id).is_file()
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
    write_tables(DataFolder(tmp_path / "data"), clips)
    (result,) = split(tmp_path / "data", config=SplitConfig(by="official"), name="filtered")
    assert result.statistics.counts == {"train": 443, "val": 197, "test": 290}
    assert len(result.statistics.left_out) == 70
    assert not result.leaky


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


def test_audiofolder_reads_splits_tables_and_class_folders(tmp_path: Path) -> None:
    assert {clip.fold for clip in scan(audiofolder(tmp_path / "a"), "audiofolder").clips} == {"train", "val", "test"}
    touch(tmp_path / "b", "train/dog/1.WAV", "train/cat/1.wav", "test/dog/9.flac", "test/notes.txt")
    labels = {clip.id: (clip.label, clip.fold) for clip in scan(tmp_path / "b", "audiofolder").clips}
    assert labels == {
        "train/dog/1.WAV": ("dog", "train"), "train/cat/1.wav": ("cat", "train"), "test/dog/9.flac": ("dog", "test"),
    }  # fmt: skip
    (tmp_path / "c").mkdir()
    with pytest.raises(DataError, match="neither metadata"):
        scan(tmp_path / "c", "audiofolder")
