"""Reference pages made from the code: every command, every setting with default and unit, and the public functions."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

import spectro
from spectro import cli
from spectro.cli.app import ORDER
from spectro.core import config

PACKAGE = Path(spectro.__file__).parent
STUB = PACKAGE / "__init__.pyi"
SETTINGS = {
    "Spectrograms": ("core.config.MelConfig", "core.config.SegmentConfig", "core.config.RenderConfig"),
    "Splits": ("core.config.SplitConfig",),
    "Models": ("core.config.ModelConfig", "core.config.ClassicalConfig"),
    "Training": ("core.config.FinetuneConfig",),
    "Evaluation": ("evaluation.statistics.BootstrapConfig",),
    "Experiments": (
        "experiments.leakage.LeakageGapConfig",
        "experiments.learning_curve.CurveConfig",
        "experiments.review.ReviewConfig",
    ),
}
"""The settings that users give, by heading; those of features follow from their registry."""
FLOORS = {
    "core": "Values",
    "data": "Data",
    "training": "Training",
    "evaluation": "Evaluation",
    "inference": "Prediction",
    "explain": "Explanation",
    "experiments": "Experiments",
    "plots": "Drawings",
    "reports": "Reports",
    "serving": "Export and publication",
}
"""Packages in the order of the page, with their headings."""
UNIT = re.compile(
    r"\bin (Hz|samples|seconds|dB|epochs)\b|^(Epochs|Share|Number|Segments|Steps|Factor)\b|(many seconds)"
)
WORDS = {"share": "share, 0 to 1", "many seconds": "seconds", "number": "count", "factor": "factor"}


def pages() -> dict[str, str]:
    """Return the generated pages by name."""
    return {"commands": commands(), "settings": settings(), "api": api()}


def commands() -> str:
    """Return a section for each command, in the order of the program's help."""
    text = cli.program.generate_docs(output_format="markdown", recursive=True)
    _, *parts = re.split(r"^(?=## spectro )", text, flags=re.MULTILINE)
    parts = [part for part in parts if not part.startswith("## spectro --")]  # the front page has it
    section = {part.splitlines()[0].removeprefix("## spectro "): part for part in parts}
    order = [name for names in ORDER.values() for name in names]
    if section.keys() != set(order):
        raise SystemExit(f"commands in the help and in ORDER differ: {section.keys() ^ set(order)}")
    head = (
        "# Commands\n\n"
        "Made from the program itself; `spectro COMMAND --help` prints the same. Exit codes are those of "
        "[Exit codes and errors](errors.md).\n\n"
    )
    return head + "".join(_readable(section[name]) for name in order)


def _readable(section: str) -> str:
    """Return a section with its examples as code, and its options on one line each."""
    section = re.sub(r"^Example: (.+)$", r"```bash\n\1\n```", section, flags=re.MULTILINE)
    section = re.sub(r"^```console$", "```text", section, flags=re.MULTILINE)
    section = re.sub(r"\n {2,}(?=\S)", " ", section)
    section = section.replace("path,label[,group][,fold]", "`path,label[,group][,fold]`")  # or else it is a link
    section = re.sub(r"(--[\w-]+ [^`\n]*?), --empty-[\w-]+", r"\1", section)
    section = section.replace(' *[default: ""]*', "").replace(" *[default: ()]*", "")
    return re.sub(r"(?<=\*\[default: )\((.*?),?\)(?=\])", lambda match: match[1].replace("'", ""), section)


def settings() -> str:
    """Return a table of fields for each class of settings."""
    lines = [
        "# Settings",
        "",
        "Made from the dataclasses that declare them. Each field is an option of the commands (`n_mels` is "
        "`--n-mels`), an argument in Python (`spectro.MelConfig(n_mels=64)`) and an entry of the card of a run. Values "
        "out of range are refused before any work, in one line that names the setting.",
        "",
    ]
    for heading, names in (*SETTINGS.items(), ("Features", tuple(_of_features()))):
        lines += [f"## {heading}", ""]
        for name in names:
            module, _, title = name.rpartition(".")
            lines += _table(getattr(import_module(f"spectro.{module}"), title))
    return "\n".join(lines)


def _of_features() -> Iterator[str]:
    """Yield the settings of each feature once, with those that they share first."""
    from spectro.audio.features import FEATURES

    known = {f"core.config.{name}" for name in vars(config)}
    names = dict.fromkeys(
        f"{kind.__module__.removeprefix('spectro.')}.{kind.__name__}"
        for feature in FEATURES.values()
        for kind in reversed(feature.config.__mro__)
        if dataclasses.is_dataclass(kind) and kind.__module__ != "spectro.core.config"
    )
    yield from (name for name in names if name not in known and not name.startswith("core."))


def _table(kind: type) -> Iterator[str]:
    """Yield the lines about one class of settings."""
    docs = field_docs(kind)
    public = f"spectro.{kind.__name__}" if kind.__name__ in spectro.__all__ else f"{kind.__module__}.{kind.__name__}"
    yield from (f"### {kind.__name__}", "", f"`{public}`: {' '.join((kind.__doc__ or '').split())}", "")
    yield from ("| setting | default | unit | meaning |", "| --- | --- | --- | --- |")
    for field in dataclasses.fields(kind):
        text = " ".join(docs.get(field.name, "").split()).replace("|", "\\|")
        yield f"| `{field.name}` | {_default(field)} | {unit(text)} | {text} |"
    yield ""


def _default(field: dataclasses.Field[object]) -> str:
    """Return the default of a field as text."""
    if field.default_factory is not dataclasses.MISSING:
        return f"`{type(field.default_factory()).__name__}()`"
    if field.default is dataclasses.MISSING:
        return "required"
    return f"`{field.default!r}`" if isinstance(field.default, str) else f"`{field.default}`"


def unit(text: str) -> str:
    """Return the unit that a field's sentence names, if any."""
    match = UNIT.search(text)
    word = next((group for group in match.groups() if group), "") if match else ""
    return WORDS.get(word.lower(), word if word in ("Hz", "dB") else word.lower())


def field_docs(kind: type) -> Mapping[str, str]:
    """Return the string below each field of a class, inherited ones too."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if dataclasses.is_dataclass(base):
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
            body = next(node for node in tree.body if isinstance(node, ast.ClassDef)).body
            for field, text in itertools.pairwise(body):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and _is_text(text):
                    docs[field.target.id] = ast.literal_eval(text.value)  # type: ignore[attr-defined]
    return docs


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def public_names() -> dict[str, str]:
    """Return each public name with the module that defines it, in the order of the stub."""
    names = {"load": "spectro"}
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            names |= {alias.name: f"spectro.{node.module}" for alias in node.names}
    return names


def on_another_page(name: str) -> bool:
    """Tell whether a public name is described on the page of settings, of errors or of files."""
    return name == "Card" or name.endswith(("Config", "Error"))


def api() -> str:
    """Return directives for every public name, functions before classes, by the package that it comes from."""
    lines = [
        "# Python API",
        "",
        "Everything that `import spectro` offers; names load on first use, so that importing the package is quick. "
        "Paths may be given as text or as `pathlib.Path`. Settings (`...Config`) are described in "
        "[Settings](settings.md), errors in [Exit codes and errors](errors.md), the card of a run in "
        "[Files](files.md#the-card).",
        "",
    ]
    by_floor: dict[str, list[tuple[str, str]]] = {floor: [] for floor in FLOORS}
    for name, module in public_names().items():
        if on_another_page(name):
            continue
        by_floor["inference" if name == "load" else module.split(".")[1]].append((name, module))
    for floor, members in by_floor.items():
        lines += [f"## {FLOORS[floor]}", ""]
        for name, module in sorted(members, key=lambda member: (member[0][0].isupper(), member[0])):
            options = [f"heading: spectro.{name}", f"toc_label: {name}", "heading_level: 3"]
            lines += [f"::: {module}.{name}", "    options:", *(f"      {option}" for option in options), ""]
    return "\n".join(lines)
