"""No output of any command replaces what is not its own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import cast, get_args

import pytest

from spectro.cli import outputs
from spectro.cli.outputs import FORMS, Folder, Kind, require_file, require_folder
from spectro.core.errors import ConfigError
from spectro.core.files import write_csv
from spectro.core.runs import Run
from spectro.core.tables import FAILURE_COLUMNS
from spectro.data.feature_table import KEYS
from spectro.evaluation.ensemble_folder import MARK
from spectro.evaluation.label_issues import LabelIssue
from spectro.experiments.learning_curve import COLUMNS as CURVE_COLUMNS
from spectro.reports.html import report
from spectro.reports.tables import FORMATS
from tests.builders import make_run

Spectro = Callable[..., tuple[int, str, str]]
WRITERS = {
    "report": ("report", "RUN", "--out"),
    "report-md": ("report", "RUN", "--format", "md", "--out"),
    "compare": ("compare", "RUN", "RUN", "--format", "csv", "--out"),
    "card": ("models", "card", "RUN", "--out"),
    "issues": ("label-issues", "RUN", "--out"),
    "csv": ("predict", "RUN", "a.wav", "--format", "csv", "--out"),
    "jsonl": ("predict", "RUN", "a.wav", "--format", "jsonl", "--out"),
    "bad": ("data", "check", "DATA", "--bad-files"),
    "preview": ("data", "preview", "DATA", "--out"),
    "features": ("data", "features", "DATA", "--out"),
    "map": ("plot", "map", "DATA", "--out"),
    "boxes": ("plot", "features", "DATA", "--out"),
    "curve": ("plot", "learning-curve", "DATA", "--out"),
}
FOLDERS = {
    "render": ("render", "SOURCE", "--out"),
    "finetune": ("finetune", "DATA", "--out"),
    "ensemble": ("ensemble", "RUN", "RUN", "--out"),
    "plot-run": ("plot", "run", "RUN", "--out"),
    "explain": ("explain", "RUN", "a.wav", "--out"),
    "bench": ("bench", "run", "DATA", "--out"),
    "sweep": ("bench", "sweep", "DATA", "--recipe", "A-cnn", "--set", "mfcc.n_fft=512,1024", "--out"),
}
ENDINGS = {"preview": ".png", "map": ".svg", "boxes": ".svg", "curve": ".svg"}


@pytest.fixture
def place(rendered: Path, corpus_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return a run, a data folder and a source by the names that the tables above use."""
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "run")
    run.history_path.write_text("epoch,stage\n1,frozen\n")
    run.write_card(run.card)  # which lists the history
    data = shutil.copytree(rendered, tmp_path / "data")
    return {"RUN": str(run.path), "DATA": str(data), "SOURCE": str(corpus_csv)}


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_never_replaces_a_part_of_a_run_or_of_data(
    writer: str, place: dict[str, str], tmp_path: Path, spectro: Spectro
) -> None:
    arguments = [place.get(word, word) for word in WRITERS[writer]]
    ending = ENDINGS.get(writer, "")
    run, data = Path(place["RUN"]), Path(place["DATA"])
    picture = next(data.glob("mel-*/*/*.png"))
    (tmp_path / f"notes{ending}").write_text("my own notes")
    targets = [
        run / f"weights.safetensors{ending}" if ending else run / "card.json",
        data / f"features/new{ending}" if ending else data / "clips.csv",
        picture if ending == ".png" else picture.with_suffix(ending),
        run,
        tmp_path / f"notes{ending}",
        *([run / "history.csv", run / "predictions-test.npz", data / "source.json"] if not ending else []),
        *([] if ending else [Path(os.devnull)]),
    ]
    before = contents(tmp_path)
    for target in targets:
        if ending and target.name.startswith("weights"):
            continue
        code, _, err = spectro(*arguments, target)
        assert (code, err.count("\n")) == (2, 1), f"{target}: {err}"
        assert str(target) in err
    assert contents(tmp_path) == before
    assert Path(os.devnull).is_char_device()


@pytest.mark.parametrize("writer", FOLDERS)
def test_a_folder_of_another_kind_is_refused(
    writer: str, place: dict[str, str], tmp_path: Path, spectro: Spectro
) -> None:
    arguments = [place.get(word, word) for word in FOLDERS[writer]]
    data, run = Path(place["DATA"]), Path(place["RUN"])
    (tmp_path / "file").write_text("in the way")
    other = data if writer != "render" else run
    before = contents(tmp_path)
    for target in (tmp_path / "file", other, next(data.glob("mel-*")), data / "features" / "x"):
        code, _, err = spectro(*arguments, target)
        assert (code, err.count("\n")) == (2, 1), f"{target}: {err}"
        assert str(target) in err
    assert contents(tmp_path) == before


def test_a_table_of_clips_that_somebody_wrote_is_not_replaced(tmp_path: Path, spectro: Spectro) -> None:
    (tmp_path / "clips.csv").write_text("path,label\na.wav,a\n")
    code, _, err = spectro("render", tmp_path / "clips.csv", "--out", tmp_path)
    assert (code, err.count("\n")) == (2, 1)
    assert (tmp_path / "clips.csv").read_text() == "path,label\na.wav,a\n"


def test_every_kind_replaces_its_own_older_file(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for kind in ("html", *FORMATS):
        path = report([run], out=tmp_path / f"report.{kind}", format=kind)
        assert require_file(path, cast(Kind, kind), columns=outputs.MODEL_COLUMNS) == path
    others = {kind for kind in FORMS if kind != "csv" and not FORMS[kind].endings}
    for kind in FORMATS:
        for other in others - {kind}:
            with pytest.raises(ConfigError, match="not replaced"):
                require_file(tmp_path / f"report.{kind}", other)
    (tmp_path / "empty").touch()
    assert require_file(tmp_path / "empty", "json") == tmp_path / "empty"


def test_commands_replace_their_own_older_files(tmp_path: Path, place: dict[str, str], spectro: Spectro) -> None:
    for arguments in (
        ("report", place["RUN"], "--out", "r.html"),
        ("report", place["RUN"], "--format", "csv", "--out", "r.csv"),
        ("models", "card", place["RUN"]),
        ("plot", "run", place["RUN"]),
        ("data", "preview", place["DATA"], "--per-class", "1"),
        ("data", "check", Path(place["SOURCE"]).parent / "clips.csv", "--bad-files", "bad.csv", "--workers", "1"),
    ):
        assert spectro(*arguments)[0] == 0
        code, _, err = spectro(*arguments)
        assert code == 0, err


def test_first_columns_are_those_that_are_written() -> None:
    assert outputs.FAILURE_COLUMNS == FAILURE_COLUMNS
    assert outputs.FEATURE_COLUMNS == KEYS
    assert CURVE_COLUMNS[:3] == outputs.CURVE_COLUMNS
    assert tuple(LabelIssue.__dataclass_fields__)[:3] == outputs.ISSUE_COLUMNS
    assert set(outputs.TABLES) == set(FORMATS)
    assert set(FORMS) == set(get_args(Kind))


def test_another_table_is_not_replaced(tmp_path: Path) -> None:
    write_csv(tmp_path / "clips.csv", ("path", "label"), [("a.wav", "a")])
    for columns in (outputs.FAILURE_COLUMNS, outputs.PREDICTION_COLUMNS, outputs.MODEL_COLUMNS):
        with pytest.raises(ConfigError, match="same columns"):
            require_file(tmp_path / "clips.csv", "csv", columns=columns)
    write_csv(tmp_path / "bad.csv", outputs.FAILURE_COLUMNS, [])
    require_file(tmp_path / "bad.csv", "csv", columns=outputs.FAILURE_COLUMNS)


def test_special_files_and_links(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run").path
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.json").symlink_to(run / "metrics.json")
    (tmp_path / "folder").symlink_to(run, target_is_directory=True)
    for path in (tmp_path / "pipe", tmp_path / "link.json", tmp_path / "folder" / "card.json"):
        with pytest.raises(ConfigError, match=r"pipe|part of the run"):
            require_file(path, "json")
    require_file(run / "report.html", "html")
    require_file(run / "README.md", "card")
    require_folder(run / "plots", "results")


@pytest.mark.parametrize("kind", get_args(Folder))
def test_a_new_or_empty_folder_is_fine(kind: Folder, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert require_folder(tmp_path / "empty", kind) == tmp_path / "empty"
    assert require_folder(tmp_path / "new" / "folder", kind) == tmp_path / "new" / "folder"


def test_an_ensemble_does_not_replace_a_member(tmp_path: Path, spectro: Spectro) -> None:
    runs = [make_run(tmp_path / name).path for name in ("first", "second")]
    before = contents(tmp_path)
    code, _, err = spectro("ensemble", *runs, "--out", runs[0])
    assert (code, err.count("\n")) == (2, 1)
    assert contents(tmp_path) == before
    assert spectro("ensemble", *runs, "--out", tmp_path / "both")[0] == 0
    assert spectro("ensemble", *runs, "--out", tmp_path / "both")[0] == 0
    assert [member.name for member in Run.open(tmp_path / "both").card.members] == ["first", "second"]
    assert json.loads((runs[0] / "card.json").read_text())["kind"] == "torch"


def test_an_ensemble_that_has_no_card_yet_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / MARK).write_text("{}")
    with pytest.raises(ConfigError, match="is a part of the run"):
        require_file(tmp_path / MARK, "json")
    with pytest.raises(ConfigError, match="is a run"):
        require_folder(tmp_path, "data")
