"""`spectro evaluate`: tables of other programs are judged, and options that would not be heeded are refused."""

from __future__ import annotations

import json

import pytest

from spectro import cli


def test_predictions_of_another_program_are_judged_from_their_table(tmp_path, capsys):
    path = tmp_path / "theirs.csv"
    lines = ["id,clip,group,truth,cat,dog", "a@0,a,x,cat,0.9,0.1", "a@1,a,x,cat,0.2,0.8", "b@0,b,y,dog,0.3,0.7"]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["evaluate", "--predictions", str(path), "--json"])
    assert not stopped.value.code
    (found,) = json.loads(capsys.readouterr().out)
    assert found["items"] == {"segments": 3, "clips": 2, "unlabelled": 0}
    assert found["segment"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert found["clip"]["accuracy"]["value"] == 1
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--predictions", str(path), "--vote", "hard"])
    assert "theirs.csv" in capsys.readouterr().out.replace("\n", "")


def test_nothing_to_judge_is_a_mistake(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["evaluate"])
    assert stopped.value.code == 2
    assert "--predictions" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data", "data", "--predictions", "a.csv"],
        ["run"],
        ["run", "--data", "data", "--predictions", "a.csv"],
        ["run", "--abstain", "0.5"],
    ],
)
def test_overlap_refuses_what_it_would_not_heed(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["evaluate", *arguments, "--overlap", "0.5"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("spectro: --overlap hears the clips of runs again, and nothing else")
