"""Plain words: a short list of banned ones stays out of help texts, docstrings and pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import spectro
from spectro import cli
from spectro.cli.app import GROUPS, ORDER

PACKAGE = Path(spectro.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TEMPLATES = sorted(PACKAGE.rglob("*.j2"))
BANNED = re.compile(
    r"\b(heed\w*|eats?|eaten|ails|commonest|at hand|(?:on )?(?:two|both) sides|deals?|dealt|dealing|flatter\w*|heard"
    r"|said|told|judg\w+|doubt\w*|foretell\w*|lest|figures? of merit|pictures?)\b",
    re.IGNORECASE,
)
COMMANDS = [
    [],
    *([name] for names in ORDER.values() for name in names),
    *([group, name] for group, names in GROUPS.items() for name in names),
]


def banned(text: str) -> list[str]:
    """Return the banned words of a text."""
    return [match.group() for match in BANNED.finditer(text)]


def public_docstrings(file: Path) -> Iterator[str]:
    """Yield the docstrings of a module, of its public functions, classes and constants, and of their members."""
    stack: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while stack:
        node = stack.pop()
        for child in ast.iter_child_nodes(node):
            if (
                isinstance(child, ast.Expr)
                and isinstance(child.value, ast.Constant)
                and isinstance(child.value.value, str)
            ):
                yield child.value.value
            elif isinstance(child, ast.ClassDef | ast.FunctionDef) and not child.name.startswith("_"):
                stack.append(child)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_is_in_plain_words(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([*words, "--help"])
    assert banned(capsys.readouterr().out) == []


def test_docstrings_are_in_plain_words() -> None:
    texts = {str(file.relative_to(PACKAGE)): "\n".join(public_docstrings(file)) for file in FILES}
    assert {name: words for name, text in texts.items() if (words := banned(text))} == {}


def test_report_templates_are_in_plain_words() -> None:
    code = re.compile(r"\{[%{#].*?[%}#]\}|<style.*?</style>|<script.*?</script>|<[^>]*>", re.DOTALL)
    texts = {file.name: code.sub(" ", file.read_text(encoding="utf-8")) for file in TEMPLATES}
    assert len(texts) > 2
    assert {name: words for name, text in texts.items() if (words := banned(text))} == {}
