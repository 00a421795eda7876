"""render, split and the group `data` on small folders."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Spectro = Callable[..., tuple[int, str, str]]


@pytest.fixture
def music(tmp_path: Path, write_audio: Callable[..., Path], tone: Callable[..., np.ndarray]) -> Path:
    """A folder with two sounds and one file that is none."""
    for label in ("hum", "hiss"):
        write_audio(tmp_path / "music" / label / "good.wav", tone(2.0))
    (tmp_path / "music" / "hum" / "text.wav").write_text("not a sound")
    return tmp_path / "music"


def test_render_names_what_it_cannot_use_and_exits_with_3(music: Path, tmp_path: Path, spectro: Spectro) -> None:
    arguments = ("render", music, "--out", tmp_path / "data", "--seconds", 1, "--workers", 1)
    code, out, err = spectro(*arguments)
    assert code == 3
    assert "4 spectrograms" in out
    assert "text.wav" in err
    assert "1 of the files could not be used" in err
    code, out, _ = spectro(*arguments, "--json")
    facts = json.loads(out)
    assert code == 3
    assert (facts["segments"], facts["made"], facts["reused"]) == (4, 0, 4)
    assert facts["failed"][0]["reason"] == "unreadable"


def test_dry_run_estimates_without_writing(corpus_csv: Path, tmp_path: Path, spectro: Spectro) -> None:
    arguments = ("render", corpus_csv, "--out", tmp_path / "none", "--seconds", 1, "--dry-run")
    assert "72 spectrograms" in spectro(*arguments)[1]
    assert json.loads(spectro(*arguments, "--json")[1])["segments"] == 72
    assert not (tmp_path / "none").exists()


def test_split_prints_a_leak_in_capitals(rendered: Path, tmp_path: Path, spectro: Spectro) -> None:
    data = shutil.copytree(rendered, tmp_path / "data")
    _, out, _ = spectro("split", data, "--by", "clip", "--name", "mixed")
    assert "mixed (LEAKY)" in out
    _, out, _ = spectro("split", data, "--val", "0.2", "--json")
    assert json.loads(out)[0]["leaking_groups"] == 0


@pytest.mark.parametrize("name", ["check", "doctor"])
def test_check_lists_bad_files(name: str, music: Path, tmp_path: Path, spectro: Spectro) -> None:
    code, out, _ = spectro("data", name, music, "--bad-files", tmp_path / "bad.csv", "--workers", 1)
    assert code == 3
    assert "UNUSABLE unreadable" in out
    assert "hum/text.wav" in (tmp_path / "bad.csv").read_text()
    _, out, _ = spectro("data", name, music, "--workers", 1, "--json")
    assert json.loads(out)["unusable"] == ["hum/text.wav"]


def test_check_tells_what_is_odd_and_what_is_left_out(
    tone: Callable[..., np.ndarray], write_audio: Callable[..., Path], tmp_path: Path, spectro: Spectro
) -> None:
    write_audio(tmp_path / "hip hop" / "a.wav", np.stack([tone(), -tone()], axis=1))
    write_audio(tmp_path / "hip  hop" / "b.wav", tone())
    (tmp_path / "notes.txt").touch()
    code, out, _ = spectro("data", "check", tmp_path, "--workers", 1)
    assert code == 0
    assert "suspicious channels-cancel: " in out
    assert "left out: 1 x .txt" in out
    _, out, _ = spectro("data", "check", tmp_path, "--workers", 1, "--json")
    report = json.loads(out)
    assert report["skipped"] == [{"suffix": ".txt", "count": 1, "reason": "suffix"}]
    assert (report["pyav"], report["similar_labels"]) == (0, [["hip  hop", "hip hop"]])
    assert [finding["reason"] for finding in report["findings"]] == ["channels-cancel"]


@pytest.mark.slow
def test_audit_measures_the_leakage_gap(rendered: Path, tmp_path: Path, spectro: Spectro) -> None:
    data = shutil.copytree(rendered, tmp_path / "data")
    _, out, _ = spectro("data", "audit", data, "--workers", 1, "--json")
    assert set(json.loads(out)["leakage_gap"]) == {"segment", "clip", "group"}
    _, out, _ = spectro("data", "audit", data, "--workers", 1)
    assert "gap to group" in out


def test_preview_and_features_write_files(rendered: Path, tmp_path: Path, spectro: Spectro) -> None:
    data = shutil.copytree(rendered, tmp_path / "data")
    assert spectro("data", "preview", data, "--per-class", 2, "--out", tmp_path / "preview.png")[0] == 0
    assert (tmp_path / "preview.png").exists()
    table = tmp_path / "table.csv"
    assert spectro("data", "features", data, "--stats-set", "rms+zcr", "--out", table, "--workers", 1)[0] == 0
    assert len(table.read_text().splitlines()) == 1 + 72


def test_clean_lists_what_can_go_and_removes_it(rendered: Path, tmp_path: Path, spectro: Spectro) -> None:
    data = Path(shutil.copytree(rendered, tmp_path / "data"))
    spectro("data", "features", data, "--stats-set", "rms", "--out", tmp_path / "table.csv", "--workers", 1)
    (data / ".00000000-1-1.tmp").touch()
    os.utime(data / ".00000000-1-1.tmp", (0, 0))
    before = {path for path in data.rglob("*") if path.is_file()}
    listed = json.loads(spectro("data", "clean", data, "--dry-run", "--json")[1])
    assert {one["kind"] for one in listed} >= {"feature", "temporary"}
    assert all(one["size"] > 0 for one in listed if one["kind"] == "feature")
    _, out, _ = spectro("data", "clean", data, "--dry-run")
    assert "features/" in out
    assert f"{len(listed)} can be removed" in out
    assert {path for path in data.rglob("*") if path.is_file()} >= before
    code, out, _ = spectro("data", "clean", data)
    assert (code, f"removed {len(listed)}" in out) == (0, True)
    assert not any((data / "features").glob("*"))
    assert sorted(path.name for path in data.glob("*.csv")) == ["clips.csv", "failed.csv", "warnings.csv"]
    assert len(list(data.glob("mel-*/*/*.png"))) + len(list(data.rglob("*.png"))) >= 72
    assert json.loads(spectro("data", "clean", data, "--json")[1]) == []
    code, _, err = spectro("data", "clean", tmp_path)
    assert (code, err.count("\n")) == (2, 1)


def test_data_sets_are_listed_and_verified(tmp_path: Path, spectro: Spectro) -> None:
    assert "licence:" in spectro("data", "list")[1]
    assert json.loads(spectro("data", "list", "--json")[1])["gtzan"]["clips"] == 1000
    code, _, err = spectro("data", "verify", "gtzzan", tmp_path)
    assert code == 2
    assert "did you mean 'gtzan'?" in err
