"""The README is in plain words, names only options and files that exist, and shows no path of a machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spectro import cli
from spectro.cli.app import GROUPS, ORDER

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TREE = re.compile(r"<!-- tree:.*?<!-- end of tree -->", re.DOTALL)  # made from docstrings, which another test reads
PROSE = TREE.sub("", README)
BANNED = re.compile(
    r"\b(heed\w*|eats?|eaten|ails|commonest|at hand|sides|deals?|dealt|dealing|flatter\w*|(?:never )?heard|says?|said"
    r"|tells?|told|judg\w+|doubt\w*|foretell\w*|lest|figures?|pictures?|pieces?|by heart|pretend\w*|fingerprints?)\b",
    re.IGNORECASE,
)
SCRIPT = re.compile(r"scripts/(\w+)(?: (\w+))?")
CODE = [
    " ".join(span.split()) for span in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", PROSE, flags=re.M | re.S))
]
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]+)")


def commands() -> list[list[str]]:
    """Return the words of every command of the program."""
    top = [[name] for names in ORDER.values() for name in names if name not in GROUPS]
    return top + [[group, name] for group, names in GROUPS.items() for name in names]


def test_the_readme_is_in_plain_words() -> None:
    lines = PROSE.splitlines()
    assert [(line, words) for line in lines if (words := [match.group() for match in BANNED.finditer(line)])] == []


def test_options_in_the_text_are_those_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    known = {"help"}
    for words in commands():
        with pytest.raises(SystemExit):
            cli.main([*words, "--help"])
        known |= set(OPTION.findall(capsys.readouterr().out))
    named = {option for span in CODE if not span.startswith("scripts/") for option in OPTION.findall(span)}
    assert len(named) > 5
    assert named - known == set()


@pytest.mark.parametrize("span", [span for span in CODE if span.startswith("scripts/")])
def test_a_script_in_the_text_has_the_options_that_it_is_given(span: str) -> None:
    match = SCRIPT.match(span)
    assert match
    name, what = match.groups()
    file = ROOT / "scripts" / (f"{name}_{what}.py" if what else name)
    text = file.read_text(encoding="utf-8")
    known = {word.replace("_", "-") for word in re.findall(r"[\w-]+", text)} | set(OPTION.findall(text))
    assert set(OPTION.findall(span)) - known == set()


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!https?:)[^)#]+)\)", README))
def test_a_linked_file_exists(link: str) -> None:
    assert (ROOT / link).is_file()


def test_the_readme_shows_no_path_of_a_machine() -> None:
    assert re.findall(r"(?<![\w.])/(?:tmp|work|home|root|mnt|usr|opt|var|srv)\b", README) == []
