"""Text on the pages: plain words, options, scripts, files and columns that exist, and no path of a machine."""

from __future__ import annotations

import re
import tomllib
from typing import get_args

import pytest

from spectro import cli
from spectro.cli.app import GROUPS, ORDER
from spectro.core import tables
from tests.docs.pages import DOCS, FENCED, NAMES, README, ROOT, text

BANNED = re.compile(
    r"\b(heed\w*|eats?|eaten|ails|commonest|at hand|sides|deals?|dealt|dealing|flatter\w*|(?:never )?heard|says?|said"
    r"|tells?|told|judg\w+|doubt\w*|foretell\w*|lest|figures?|pictures?|pieces?|by heart|pretend\w*|fingerprints?)\b",
    re.IGNORECASE,
)
SPAN = re.compile(r"`([^`]+)`")
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]+)")
OTHER_PROGRAMS = ("pip ", "scripts/")
SCRIPT = re.compile(r"scripts/(\w+)(?: (\w+))?")
TABLES = {
    "clips.csv": tables.CLIP_COLUMNS,
    "failed.csv": tables.FAILURE_COLUMNS,
    "warnings.csv": tables.WARNING_COLUMNS,
    "segments.csv": tables.SEGMENT_COLUMNS,
}


def spans(name: str) -> list[str]:
    """Return the code inside the text of a page."""
    return [" ".join(span.split()) for span in SPAN.findall(FENCED.sub("", text(name)))]


@pytest.fixture(scope="module")
def options() -> set[str]:
    """The options of all commands."""
    top = [[name] for names in ORDER.values() for name in names if name not in GROUPS]
    known = {"check", "help", "version"}
    for words in top + [[group, name] for group, names in GROUPS.items() for name in names]:
        _, command, _ = cli.program.parse_commands(words)
        arguments = command[-1].assemble_argument_collection()
        known |= {name.removeprefix("--") for argument in arguments for name in argument.names}
    return known


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_in_plain_words(name: str) -> None:
    lines = SPAN.sub("", text(name)).splitlines()
    assert [(line, words) for line in lines if (words := [match.group() for match in BANNED.finditer(line)])] == []


@pytest.mark.parametrize("name", NAMES)
def test_options_in_the_text_are_those_of_a_command(name: str, options: set[str]) -> None:
    ours = [span for span in spans(name) if not span.startswith(OTHER_PROGRAMS)]
    assert {option for span in ours for option in OPTION.findall(span)} - options == set()


@pytest.mark.parametrize("span", sorted({span for name in NAMES for span in spans(name) if SCRIPT.match(span)}))
def test_a_script_in_the_text_has_the_options_that_it_is_given(span: str) -> None:
    match = SCRIPT.match(span)
    assert match
    name, what = match.groups()
    file = ROOT / "scripts" / (f"{name}_{what}.py" if what and (ROOT / f"scripts/{name}_{what}.py").exists() else name)
    content = file.read_text(encoding="utf-8")
    known = {word.replace("_", "-") for word in re.findall(r"[\w-]+", content)} | set(OPTION.findall(content))
    assert set(OPTION.findall(span)) - known == set()


def test_scripts_in_blocks_exist() -> None:
    named = {match[1] for name in NAMES for match in SCRIPT.finditer(text(name))}
    assert {"demo", "test", "docs", "release", "tree"} <= named
    assert [name for name in named if not (ROOT / "scripts" / name).exists()] == []


@pytest.mark.parametrize("name", ["README.md", *(name for name in NAMES if name.startswith(".github/"))])
def test_a_linked_file_exists(name: str) -> None:  # those of the other pages are looked at by the strict build
    links = re.findall(r"\]\(((?!https?:)[^)#]+)\)", text(name))
    assert [link for link in links if not (ROOT / name).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_no_path_of_a_machine(name: str) -> None:
    assert re.findall(r"(?<![\w.~])/(?:tmp|work|home|root|mnt|usr|opt|var|srv)\b", text(name)) == []


def test_the_readme_is_one_page_and_names_both_set_up_commands() -> None:
    content = README.read_text(encoding="utf-8")
    assert len(content.splitlines()) <= 130
    assert "scripts/demo" in content
    assert "scripts/test" in content


@pytest.mark.parametrize("table", TABLES)
def test_documented_columns_are_those_of_the_table(table: str) -> None:
    section = text("docs/pages/reference/files.md").split(f"### {table}\n")[1].split("\n#")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == TABLES[table]


def test_documented_subsets_and_version_are_the_code_s() -> None:
    section = text("docs/pages/reference/files.md").split("### splits/NAME.csv\n")[1].split("\n#")[0]
    assert set(get_args(tables.Subset)) <= set(SPAN.findall(section))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"\nversion: {project['version']}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_documented_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    section = text("docs/pages/index.md").split("| extra |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == project["optional-dependencies"].keys()


def test_every_page_is_in_the_navigation() -> None:
    navigation = (DOCS / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:")[1]
    pages = {name.removeprefix("docs/pages/") for name in NAMES if name.startswith("docs/pages/")}
    assert set(re.findall(r"[\w/-]+\.md", navigation)) - {f"reference/{name}.md" for name in GENERATED} == pages


GENERATED = ("commands", "settings", "api")
