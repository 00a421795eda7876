"""Generated pages: every command, every setting and every public name is on them."""

from __future__ import annotations

import dataclasses
import re

import pytest

import spectro
from spectro.cli.app import GROUPS, ORDER
from spectro.core import errors
from spectro.core.config import FinetuneConfig, MelConfig
from tests.docs.pages import load, text

reference = load("reference")


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """The generated pages by name."""
    made: dict[str, str] = reference.pages()
    return made


def test_every_command_has_a_section_in_the_order_of_the_help(pages: dict[str, str]) -> None:
    headings = [line[3:] for line in pages["commands"].splitlines() if line.startswith("## ")]
    assert headings == [f"spectro {name}" for names in ORDER.values() for name in names]
    for group, names in GROUPS.items():
        for name in names:
            assert f"\n### spectro {group} {name}\n" in pages["commands"]


def test_every_setting_has_a_line_with_default_and_meaning(pages: dict[str, str]) -> None:
    for kind in (MelConfig, FinetuneConfig):
        for field in dataclasses.fields(kind):
            line = next(line for line in pages["settings"].splitlines() if line.startswith(f"| `{field.name}` |"))
            _, default, _, meaning = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
            assert default
            assert meaning


def test_units_come_from_the_sentences() -> None:
    assert reference.unit("Sample rate that audio is resampled to, in Hz.") == "Hz"
    assert reference.unit("Share of the clips in the test set.") == "share, 0 to 1"
    assert reference.unit("Which network.") == ""


def test_every_public_name_is_documented_once(pages: dict[str, str]) -> None:
    elsewhere = {name for name in spectro.__all__ if reference.on_another_page(name)}
    headings = [line.strip() for line in pages["api"].splitlines() if line.strip().startswith("heading: ")]
    assert sorted(headings) == sorted(f"heading: spectro.{name}" for name in set(spectro.__all__) - elsewhere)


def test_public_names_on_other_pages_are_there(pages: dict[str, str]) -> None:
    for name in filter(reference.on_another_page, spectro.__all__):
        place = pages["settings"] if name.endswith("Config") else text("docs/pages/reference/errors.md")
        place += text("docs/pages/reference/files.md") if name == "Card" else ""
        assert f"### {name}\n" in place or f".{name}\n" in place


def test_every_error_is_on_its_page() -> None:
    kinds = [
        kind.__name__ for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__
    ]
    named = re.findall(r"^::: spectro\.core\.errors\.(\w+)$", text("docs/pages/reference/errors.md"), re.MULTILINE)
    assert named == kinds
