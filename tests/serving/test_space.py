"""A Space: its files are what the hub wants, and the command in its container is one of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spectro import cli
from spectro.core.errors import ConfigError
from spectro.serving.space import PORT, public_host, write_space


def test_a_space_runs_a_command_that_exists(tmp_path: Path) -> None:
    write_space("hf:Some.One/first", "Some.One/My_demo", tmp_path, title='A "title"')
    lines = (tmp_path / "Dockerfile").read_text(encoding="utf-8").splitlines()
    words = json.loads(lines[-1].removeprefix("CMD "))
    assert words[:3] == ["spectro", "serve", "hf:Some.One/first"]
    _, bound, _ = cli.program.parse_args(words[1:], exit_on_error=False, print_error=False)
    settings = bound.arguments["settings"]
    assert (settings.port, settings.host) == (PORT, "0.0.0.0")
    assert settings.allow_host == ("some-one-my-demo.hf.space",)
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    head = readme.split("---\n")[1]
    assert f"sdk: docker\napp_port: {PORT}\n" in head
    assert json.loads(head.splitlines()[0].removeprefix("title: ")) == 'A "title"'
    assert public_host("Some.One/My_demo") in readme


def test_a_wheel_is_copied_into_the_container(tmp_path: Path) -> None:
    write_space("hf:a/b", "a/c", tmp_path, source="spectro_audio-1-py3-none-any.whl")
    text = (tmp_path / "Dockerfile").read_text(encoding="utf-8")
    assert "COPY spectro_audio-1-py3-none-any.whl ." in text
    assert '"spectro_audio-1-py3-none-any.whl[train,serve,av]"' in text


@pytest.mark.parametrize(
    ("run", "space"), [("runs/first", "a/b"), ("hf:a/b", "hf:a/b"), ("hf:a/b", "a"), ("hf:a/b", "a/b@c")]
)
def test_wrong_names_are_refused(tmp_path: Path, run: str, space: str) -> None:
    with pytest.raises(ConfigError, match="must be"):
        write_space(run, space, tmp_path)
