"""Names and labels inside Markdown and LaTeX: shown as they are, never obeyed."""

from __future__ import annotations

import re

CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
"""What would begin a new line, or cannot be shown."""
MARKDOWN = {
    **{ord(sign): f"\\{sign}" for sign in r"\`*[]|~$"},
    **{ord("<"): "&lt;", ord(">"): "&gt;", ord("&"): "&amp;"},
}
LATEX = {
    **{ord(sign): f"\\{sign}" for sign in "&%$#_{}"},
    ord("\\"): r"\textbackslash{}",
    ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}",
    ord("|"): r"\textbar{}",
    ord("<"): "$<$",
    ord(">"): "$>$",
}


class Literal(str):
    """Text that is Markdown already."""

    __slots__ = ()


def one_line(text: str) -> str:
    """Return a text with spaces where lines break, without other control characters."""
    return CONTROL.sub(" ", text)


def markdown(value: object) -> str:
    r"""Return a value as Markdown that shows it, inside a sentence, a heading or a cell of a table.

    Examples
    --------
    >>> print(markdown("[x](javascript:y) | <b>"), markdown("mel_db"), markdown("_x_"))
    \[x\](javascript:y) \| &lt;b&gt; mel_db \_x\_
    """
    if isinstance(value, Literal):
        return value
    text = one_line(str(value)).translate(MARKDOWN)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)  # inside a word it means nothing


def identifier(text: str) -> str:
    """Return a name for metadata, which programs read and some viewers show as Markdown: marks become underscores."""
    return re.sub(r"[\\`*\[\]|~$<>&]", "_", one_line(text))


def code(value: object) -> Literal:
    """Return a value as a code span, which shows everything as it is."""
    text = one_line(str(value))
    ticks = "`" * (_longest_run(text) + 1)
    space = " " if text.startswith("`") or text.endswith("`") or not text.strip() else ""
    return Literal(f"{ticks}{space}{text}{space}{ticks}")


def fence(text: str, language: str = "") -> Literal:
    """Return lines as a code block."""
    ticks = "`" * max(3, _longest_run(text) + 1)
    return Literal(f"{ticks}{language}\n{text}\n{ticks}")


def latex(value: object) -> str:
    """Return a value as LaTeX that shows it, as a cell of a table."""
    text = one_line(str(value)).translate(LATEX)
    return f"{{{text[0]}}}{text[1:]}" if text.startswith(("[", "*")) else text  # after \\ these would be its arguments


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
