"""The whole job through the command line: from a table of sounds to a report and an answer about one file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spectro import cli
from spectro.core.data_folder import DataFolder


@pytest.mark.slow
def test_from_sounds_to_an_answer(
    corpus_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def spectro(command: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            cli.main(command.split())
        captured = capsys.readouterr()
        assert not stopped.value.code, f"spectro {command}\n{captured.err}"
        return captured.out

    (tmp_path / "clips.csv").symlink_to(corpus_csv)
    rendered = spectro("render clips.csv --out data --n-fft 1024 --n-mels 32 --seconds 1 --json")
    assert json.loads(rendered)["made"] == 72

    spectro("split data --test 0.3 --val 0.3")
    assert "LEAKY" in spectro("split data --by segment")

    spectro("finetune data --model cnn5 --epochs 2 --device cpu")
    spectro("finetune data --backbone test_resnet --weights none --frozen-epochs 2 --epochs 1 --device cpu")
    spectro("finetune data --model bayes --stats-set rms+zcr")
    networks = "runs/cnn5-group runs/test_resnet-group"
    members = f"{networks} runs/bayes-group"
    spectro(f"ensemble {members} --out runs/both")

    cards = {run: (tmp_path / run / "card.json").read_bytes() for run in f"{members} runs/both".split()}
    metrics = json.loads(spectro(f"evaluate {members} runs/both --json"))
    assert [(one["run"], one["split"]) for one in metrics] == [
        ("cnn5-group", "group"),
        ("test_resnet-group", "group"),
        ("bayes-group", "group"),
        ("both", "group"),
    ]
    assert all(0 <= one["clip"]["accuracy"]["low"] <= one["clip"]["accuracy"]["high"] <= 1 for one in metrics)
    assert "both" in spectro("evaluate runs/both")
    everything = json.loads(spectro("evaluate runs/cnn5-group --data data --json"))[0]
    assert (everything["run"], everything["items"]["clips"]) == ("cnn5-group", 24)
    assert "gain" in spectro("tta runs/both --data data --overlap 0.5")

    assert json.loads(spectro(f"compare {members} runs/both --format json"))["pairs"]
    assert "cnn5-group" in (paired := spectro("compare runs/cnn5-group runs/both"))
    assert "- both" in paired

    spectro("plot run runs/cnn5-group --out plots")
    assert (tmp_path / "plots" / "confusion.svg").exists()
    spectro(f"report {networks} runs/both --out report.html")
    assert "test_resnet-group" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert cards == {run: (tmp_path / run / "card.json").read_bytes() for run in cards}, "reading wrote into a card"

    clip = DataFolder.open("data").source_root() / "hum" / "hum-0-0.wav"
    answer = json.loads(spectro(f"predict runs/both {clip} --json"))["files"][0]
    assert answer["probability"] == max(answer["probabilities"].values())
    assert [segment["start"] for segment in answer["segments"]] == [0.0, 1.0, 2.0]
    assert all(len(line) <= 80 for line in spectro(f"predict runs/both {clip}").splitlines())
    spectro(f"predict runs/both {clip} --out answer.csv")
    assert len((tmp_path / "answer.csv").read_text(encoding="utf-8").splitlines()) == 1 + 1 + 3
