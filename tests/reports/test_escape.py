"""Names and labels never become markup: in Markdown, in LaTeX, and in the cells of a spreadsheet."""

from __future__ import annotations

import csv
import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from spectro.core.formatting import defuse
from spectro.core.runs import Run
from spectro.evaluation.evaluate import evaluate
from spectro.reports import escape
from spectro.reports.html import report
from spectro.reports.model_card import model_card
from tests import builders

HOSTILE = (
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![x](http://example.org/x.png)",
    "a|b",
    "two\nlines\r\n# heading",
    "``` ` code",
    "*bold* _italic_ ~~gone~~ $x$",
    "&lt;b&gt; &#60;i&#62;",
    "back\\slash\\",
    "=1+2",
    "@SUM(A1)",
    "\tTab",
    r"\input{/etc/passwd} % # {",
    "--- \u2028 \x01 \x85 end",
)


def hostile_run(folder: Path, name: str = "run") -> Run:
    """Return an evaluated run whose name, labels, clips, split, command and settings are hostile."""
    labels = HOSTILE
    predictions = builders.random_predictions(0, clips=2 * len(labels))
    classes = len(labels)
    truth = predictions.truth % classes
    rows = [[0.9 if column == row % classes else 0.1 / (classes - 1) for column in range(classes)] for row in truth]
    ids = tuple(f"{HOSTILE[n % classes]}-{n}" for n in range(len(truth)))
    predictions = type(predictions)(
        ids=ids, clip_ids=ids, groups=ids, labels=labels, probs=rows, truth=truth  # type: ignore[arg-type]
    )  # fmt: skip
    card = builders.model_card(name, labels=labels, command=f"spectro finetune '{HOSTILE[5]}'\n## more")
    run = builders.make_run(folder / "run", {"test": predictions}, card)
    evaluate(run)
    return run


def rendered_text(markdown: str) -> str:
    """Undo the escapes of Markdown, as a reader of the page would see it."""
    return html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown))


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_shows_a_name_as_it_is(name: str) -> None:
    shown = escape.markdown(name)
    assert not re.search(r"[\x00-\x1f\x85\u2028]", shown)
    assert not re.search(r"(?<!\\)[\[\]|`*$~<>]", shown)
    assert rendered_text(shown) == escape.one_line(name)
    span = escape.code(name)
    ticks = re.match("`+", span)
    assert ticks
    assert span.endswith(ticks[0])
    assert ticks[0] not in span[len(ticks[0]) : -len(ticks[0])].strip("`") or len(ticks[0]) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_a_model_card_obeys_no_name(name: str, tmp_path: Path) -> None:
    text = model_card(hostile_run(tmp_path, name), data_licence=name)
    fences = re.compile(r"^(`{3,})[^\n`]*\n.*?^\1$|(?<!`)(`+)(?!`).*?(?<!`)\2(?!`)", re.DOTALL | re.MULTILINE)
    prose = fences.sub("", text)  # in code nothing is obeyed
    assert "<script" not in prose
    assert not re.search(r"(?<!\\)\]\(", prose)
    yaml.safe_load(text.split("\n---\n")[0])
    headings = re.findall("^#+ .*$", prose, re.MULTILINE)
    assert len(headings) == 7, headings  # the name and six sections
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) >= len(HOSTILE)
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows} <= {3, 4, 5}


def test_a_report_as_text_obeys_no_name(tmp_path: Path) -> None:
    for number, name in enumerate(HOSTILE):
        run = hostile_run(tmp_path / str(number), name)
        other = hostile_run(tmp_path / f"{number}-other", f"{name} 2")
        text = {
            kind: report([run, other], out=tmp_path / f"{number}.{kind}", format=kind).read_text(encoding="utf-8")
            for kind in ("md", "tex", "csv", "json")
        }
        assert "<script" not in text["md"]
        rows = [line for line in text["md"].splitlines() if line.startswith("|")]
        assert len(rows) == 4 + 3
        assert len({len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows}) == 2
        cells = [cell for row in csv.reader(text["csv"].splitlines()) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))]
        tex = [line for line in text["tex"].splitlines() if line.startswith("  ") and "rule" not in line]
        assert len(tex) == 2 + 3
        assert all(line.endswith(r" \\") for line in tex)
        assert not re.search(r"\\input|(?<!\\)[#_]|\\\\\s*[\[*]", "\n".join(tex))


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs LaTeX")
def test_latex_takes_every_name(tmp_path: Path) -> None:
    body = "\\\\\n".join(map(escape.latex, HOSTILE))
    document = (
        f"\\documentclass{{article}}\\begin{{document}}\\begin{{tabular}}{{l}}{body}\\end{{tabular}}\\end{{document}}"
    )
    (tmp_path / "names.tex").write_text(document, encoding="utf-8")
    subprocess.run(["pdflatex", "-interaction=batchmode", "names.tex"], cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("~^|", r"\textasciitilde{}\textasciicircum{}\textbar{}"),
        ("[a]", "{[}a]"),
        ("*a", "{*}a"),
        (r"\a{b}", r"\textbackslash{}a\{b\}"),
        ("a<b>c", "a$<$b$>$c"),
        ("a\nb", "a b"),
    ],
)
def test_latex_is_escaped_completely(text: str, shown: str) -> None:
    assert escape.latex(text) == shown


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=1+2", "'=1+2"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-1.5", "-1.5"),
        ("+3e-4", "+3e-4"),
        ("rock", "rock"),
        ("", ""),
        (None, None),
        (-1.5, -1.5),
    ],
)
def test_a_cell_that_a_spreadsheet_would_run_is_defused(cell: object, shown: object) -> None:
    assert defuse(cell) == shown
    assert defuse(defuse(cell)) == shown
