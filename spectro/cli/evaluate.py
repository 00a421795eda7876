"""Commands that judge finished runs: scores, ensembles, paired tests, the report."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

import spectro
from spectro.cli.app import EVALUATION, SOME_FAILED, Flag, Json, app, interval, number, order, put_json, put_table
from spectro.core.errors import ConfigError


@app.command(group=EVALUATION, sort_key=next(order))
def evaluate(
    runs: list[Path] | None = None,
    /,
    *,
    fold: str = "test",
    data: Path | None = None,
    overlap: float | None = None,
    predictions: Path | None = None,
    vote: str = "soft",
    abstain: float | None = None,
    as_json: Json = False,
) -> None:
    """Judge runs on a fold, at segment and clip level, with 95 % intervals from a bootstrap over groups.

    Example: spectro evaluate runs/resnet50-group runs/cnn5-group

    Parameters
    ----------
    runs
        Folders of finished runs.
    fold
        Which predictions: test or val.
    data
        Judge the runs on every picture of this data folder instead, which must be rendered with their settings; if it
        is the one they were trained on, that counts what they have heard.
    overlap
        With the data that the runs were trained on: judge them on the clips of the fold only, as they were cut and in
        segments that overlap by this share, and say whether the added votes help.
    predictions
        Judge the predictions of any other program instead: a CSV with the columns id and truth, one per label, and if
        there are any clip and group.
    vote
        Rule by which the segments in that file decide about their clip.
    abstain
        Also say how many clips are answered, and how well, when only those of at least this probability are.
    """
    if not runs and predictions is None:
        raise ConfigError("there is nothing to judge; name a run, or a file with --predictions")
    if overlap is not None:
        if not runs or data is None or predictions is not None or abstain is not None:
            raise ConfigError(
                "--overlap hears the clips of runs again, and nothing else: name runs, and with --data the data that "
                "they were trained on, but neither --predictions nor --abstain"
            )
        return _put_overlaps(
            [
                spectro.compare_overlap(run, data, overlap=overlap, fold=fold, progress=not as_json)
                for run in runs or []
            ],
            as_json,
        )
    from spectro.evaluation.evaluate import evaluate_predictions

    if data is None:
        found = [spectro.evaluate(run, fold=fold, abstain=abstain) for run in runs or []]
    else:
        from spectro.inference.classifier import predict_pictures

        found = [
            {"run": run.name, **evaluate_predictions(predict_pictures(run, data), abstain=abstain)}
            for run in runs or []
        ]
    if predictions is not None:
        found.append(evaluate_predictions(spectro.Predictions.load(predictions), vote=vote, abstain=abstain))
    if as_json:
        return put_json(found)
    rows = [
        (
            f"{one.get('run', predictions)}\n{one.get('split', '')} {one['items']['clips']} clips",
            interval(one.get("segment", {}).get("accuracy")),
            interval(one["clip"]["accuracy"]),
            interval(one["clip"]["macro_f1"]),
        )
        for one in found
    ]
    put_table(("run", "segment accuracy", "clip accuracy", "clip macro-F1"), rows)
    if abstain is not None:
        left = [(one.get("run", predictions), one["abstain"]) for one in found]
        shown = [(name, interval(one["coverage"]), interval(one["accuracy"])) for name, one in left]
        put_table((f"from {abstain:g} on", "clips answered", "accuracy of answers"), shown)
    return None


def _put_overlaps(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        return put_json(found)
    from spectro.reports.tables import p_value

    rows = [
        (
            one["run"],
            interval(one["plain"]["clip"]["accuracy"]),
            interval(one["overlapped"]["clip"]["accuracy"]),
            interval(one["pair"]["difference"]),
            p_value(one["pair"]["p_mcnemar"]),
        )
        for one in found
    ]
    put_table(("clip accuracy of", "as cut", "overlapping", "gain", "p"), rows)
    return None


@app.command(group=EVALUATION, sort_key=next(order))
def ensemble(
    runs: list[Path],
    /,
    *,
    out: Path = Path("runs/ensemble"),
    weights: str = "",
    vote: str = "soft",
    search: Flag = False,
) -> None:
    """Let finished runs decide together: each pools its segments to clips, then the clips are combined.

    Example: spectro ensemble runs/resnet50-group runs/cnn5-group --out runs/both

    Parameters
    ----------
    runs
        Folders of at least two runs that were trained on the same split.
    out
        Folder of the new run.
    weights
        One number per run, as in 0.5,0.3,0.2; or fitted, per-class or stacked, by validation; or best, whichever of
        all these does best there. By default all equal.
    vote
        Rule by which the runs decide, without weights.
    search
        Keep only those of the runs that help each other on validation; the card says how far choosing flatters.
    """
    run = spectro.ensemble(runs, out=out, weights=parse_weights(weights), vote=vote, search=search)
    put_members(run.card())
    print(f"made {run.path}; its scores: spectro evaluate {run.path}")


def put_members(card: dict[str, Any]) -> None:
    """Print who decides, how that was chosen, and how far choosing flatters."""
    rules = card.get("rules", ())
    if rules:
        tried = [(rule["rule"], number(rule.get("accuracy")) or rule["impossible"]) for rule in rules]
        put_table(("rule", "accuracy on validation, fitted on other groups of it"), tried)
    shares = [member["weight"] for member in card["members"]]
    told = [
        f"{number(min(one))} to {number(max(one))}, by class" if isinstance(one, list) else number(one)
        for one in shares
    ]
    put_table(("member", "share"), zip((member["name"] for member in card["members"]), told, strict=True))
    search = card.get("search")
    if search:
        print(f"{len(search['left_out'])} runs are left out: the vote would not gain by them on validation")
        print(
            f"log loss there {search['losses'][-1]:.2f}, but {search['held_out']:.2f} on clips not chosen by: "
            f"it flatters by {search['optimism']:.2f}"
        )


@app.command(group=EVALUATION, sort_key=next(order))
def recipes(names: str = "all", /, *, as_json: Json = False) -> None:
    """List the systems of five student studies that compare can train, with the figures they printed.

    Example: spectro recipes C

    Parameters
    ----------
    names
        Letters of studies, or names, with commas between.
    """
    from spectro.experiments.recipes import select

    chosen = select(names)
    if as_json:
        return put_json([dataclasses.asdict(one) for one in chosen])
    rows = [
        (
            one.name,
            one.classical or one.model or one.name,
            " ".join([one.feature, *(f"{key}={value}" for key, value in one.settings.items())]),
            "-" if one.figure is None else f"{one.figure:.3f}",
            one.note,
        )
        for one in chosen
    ]
    put_table(("recipe", "model", "feature", "accuracy", "note"), rows)
    for study, title, protocol in dict.fromkeys((one.study, one.title, one.protocol) for one in chosen):
        print(f"{study}: {title}. {protocol}")
    return None


@app.command(group=EVALUATION, sort_key=next(order))
def compare(
    paths: list[Path],
    /,
    *,
    recipes: str | None = None,
    split: Annotated[str, Parameter(alias="--splits")] = "group",
    seconds: str = "",
    seeds: int = 1,
    epochs_cap: int = 0,
    weights: str = "auto",
    config_id: str | None = None,
    runs: Path = Path("runs/systems"),
    format: Literal["table", "md", "tex", "csv", "json"] = "table",
    out: Path | None = None,
) -> int:
    """Tell runs apart on the clips they share, by paired tests; or train the systems of the studies, in one table.

    Example: spectro compare runs/resnet50-group runs/cnn5-group --format md

    Example: spectro compare data --recipes all --split grouped --seeds 3

    Example: spectro compare data --recipes D --split grouped,segment --seconds 3,10

    Parameters
    ----------
    paths
        Folders of at least two finished runs that were tested on the same clips; with --recipes, one data folder.
    recipes
        What to train: all, letters of studies (C,E), or names (C-cnn,E-lstm); spectro recipes lists them.
    split
        With --recipes: names of splits, with commas between; group, clip and segment are made if they are missing.
    seconds
        With --recipes: lengths of the pieces to cut clips into, with commas between; by default those of data.
    seeds
        With --recipes: number of trainings of each system.
    epochs_cap
        With --recipes: longest stage of a training, in epochs; 0 = what the recipe says.
    weights
        With --recipes: first weights of pretrained backbones: auto, none or hub.
    config_id
        With --recipes: which pictures, if data holds several configurations.
    runs
        With --recipes: folder of the runs and of the table, as systems.csv, .json, .tex and .md.
    format
        A table for people, or text for papers and programs.
    out
        File to write that text into, instead of standard output.
    """
    from spectro.core.tables import write_text
    from spectro.reports.tables import FORMATS

    if recipes is None:
        found = spectro.compare(paths)
    else:
        if len(paths) != 1:
            raise ConfigError(f"--recipes takes one data folder, but {len(paths)} were given")
        found = spectro.compare_recipes(
            paths[0],
            recipes=recipes,
            splits=split.split(","),
            seconds=parse_numbers(seconds, "seconds", "3,10"),
            seeds=seeds,
            epochs_cap=epochs_cap,
            out=runs,
            weights=weights,
            config_id=config_id,
            tell=lambda line: print(line, file=sys.stderr),
            progress=True,
        )
        for kind, write in FORMATS.items():
            write_text(runs / f"systems.{kind}", write(found))
    code = SOME_FAILED if found.get("failed") else 0
    if format != "table":
        text = FORMATS[format](found)
        if out:
            write_text(out, text)
        else:
            print(text, end="")
    elif recipes is None:
        put_pairs(found["pairs"])
    else:
        put_systems(found)
    return code


def put_pairs(pairs: Sequence[dict[str, Any]]) -> None:
    """Print the paired tests."""
    from spectro.reports.tables import p_value

    rows = [
        (
            f"{pair['first']}\n- {pair['second']}",
            interval(pair["difference"]),
            p_value(pair["p_mcnemar_holm"]),
            p_value(pair["p_bootstrap_holm"]),
            pair["needed"] or "-",
        )
        for pair in pairs
    ]
    put_table(("pair", "difference", "p McNemar", "p groups", "needed"), rows)
    print("needed: test clips that it would take to tell two models apart that differ so")


def put_systems(found: dict[str, Any]) -> None:
    """Print the systems, the best first; how they were tested stands beside each only where it differs."""
    models = sorted(found["models"], key=lambda one: -one["clip"]["accuracy"]["value"])
    tests = [f"{one['split']}, pieces of {one['system']['seconds']:g} s" for one in models]
    alike = len(set(tests)) == 1
    rows = [
        (
            one["name"] if alike else f"{one['name']}\n{test}",
            interval(one.get("segment", one["clip"])["accuracy"]),
            interval(one["clip"]["accuracy"]),
            number(one["clip"]["macro_f1"]["value"]),
            number(one["system"]["figure"]) or "-",
        )
        for one, test in zip(models, tests, strict=True)
    ]
    put_table(("recipe", "segment accuracy", "clip accuracy", "macro-F1", "study"), rows)
    if alike:
        print(f"{models[0]['clips']} test clips, split by {tests[0]}")
    for note in found["notes"]:
        print(note)


@app.command(group=EVALUATION, sort_key=next(order))
def report(
    runs: list[Path],
    /,
    *,
    out: Path | None = None,
    data: Path | None = None,
    format: Literal["html", "md", "tex", "csv", "json"] = "html",
) -> None:
    """Write one self-contained HTML page about runs: how good, how sure, on what split, and where they err.

    Example: spectro report runs/resnet50-group runs/both --out report.html

    Example: spectro report runs/resnet50-group --format tex --out table.tex

    Parameters
    ----------
    runs
        Folders of finished runs.
    out
        The file; by default report.html, or report with the format's ending.
    data
        Data folder with the pictures and the source of the sounds, if it is not where the runs' cards say.
    format
        The page, or only its table of models as text for papers and programs.
    """
    path = spectro.report(runs, out=out or Path(f"report.{format}"), data=data, format=format)
    print(f"wrote {path}")


def parse_weights(text: str) -> Any:
    """Return None, a way of fitting, or numbers; raises ConfigError when it is neither."""
    if text[:1].isalpha():
        return text
    return parse_numbers(text, "weights", "0.5,0.5") or None


def parse_numbers(text: str, name: str, example: str) -> list[float]:
    """Return numbers with commas between; raises ConfigError when they are not."""
    try:
        return [float(number) for number in text.split(",")] if text else []
    except ValueError:
        raise ConfigError(f"{name} are '{text}', but must be numbers with commas between, as in {example}") from None
