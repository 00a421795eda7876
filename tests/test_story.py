"""The whole job through the command line: from a table of sounds to a report and an answer about one file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spectro import cli


def test_from_sounds_to_an_answer(
    corpus_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def spectro(command: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            cli.main(command.split())
        said = capsys.readouterr()
        assert not stopped.value.code, f"spectro {command}\n{said.err}"
        return said.out

    (tmp_path / "clips.csv").symlink_to(corpus_csv)
    said = spectro("render clips.csv --out data --n-fft 1024 --n-mels 32 --seconds 1 --json")
    assert json.loads(said)["made"] == 72

    spectro("split data --test 0.3 --val 0.3")
    assert "LEAKY" in spectro("split data --by segment")

    spectro("finetune data --model cnn5 --epochs 2 --device cpu")
    spectro("finetune data --backbone test_resnet --weights none --epochs 2 --finetune-epochs 1 --device cpu")
    runs = "runs/cnn5-group runs/test_resnet-group"
    spectro(f"ensemble {runs} --out runs/both")

    scores = json.loads(spectro(f"evaluate {runs} runs/both --json"))
    assert [(one["run"], one["split"]) for one in scores] == [
        ("cnn5-group", "group"),
        ("test_resnet-group", "group"),
        ("both", "group"),
    ]
    assert all(0 <= one["clip"]["accuracy"]["low"] <= one["clip"]["accuracy"]["high"] <= 1 for one in scores)
    assert "both" in spectro("evaluate runs/both")

    assert json.loads(spectro(f"compare {runs} runs/both --format json"))["pairs"]
    assert "cnn5-group" in (paired := spectro("compare runs/cnn5-group runs/both"))
    assert "- both" in paired

    spectro(f"report {runs} runs/both --out report.html")
    assert "test_resnet-group" in (tmp_path / "report.html").read_text(encoding="utf-8")

    clip = json.loads((tmp_path / "data" / "source.json").read_text())["root"] + "/hum/hum-0-0.wav"
    answer = json.loads(spectro(f"predict runs/both {clip} --json"))["files"][0]
    assert answer["probability"] == max(answer["probabilities"].values())
    assert [segment["start"] for segment in answer["segments"]] == [0.0, 1.0, 2.0]
    assert all(len(line) <= 80 for line in spectro(f"predict runs/both {clip}").splitlines())
    assert len(spectro(f"predict runs/both {clip} --csv").splitlines()) == 1 + 1 + 3
