"""Commands about finished runs: metrics, paired tests, ensembles, reports and label issues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import spectro
from spectro.cli.app import Flag, Json, Several, command, command_line, interval, number, put_json, put_table
from spectro.cli.bounds import Overlap, Probability
from spectro.cli.outputs import ISSUE_COLUMNS, MODEL_COLUMNS, require_file, require_folder
from spectro.cli.stopping import NOTHING, after_stop
from spectro.cli.train import put_spread
from spectro.core.errors import ConfigError
from spectro.core.formatting import defuse

if TYPE_CHECKING:
    from spectro.core.card import Card, Member
    from spectro.evaluation.results import FoldTest, Metrics, PairTest

Fit = Literal["fitted", "per-class", "stacked", "best"]
EvaluatedSubset = Literal["test", "val"]


@command("evaluate")
def evaluate(
    runs: list[Path],
    /,
    *,
    subset: EvaluatedSubset = "test",
    data: Path | None = None,
    min_confidence: Probability | None = None,
    as_json: Json = False,
) -> None:
    """Compute metrics of runs per segment and per clip, with 95 % intervals from a bootstrap over groups.

    Example: spectro evaluate runs/resnet50-group runs/cnn5-group

    Parameters
    ----------
    runs
        Folders of finished runs.
    subset
        Which predictions to evaluate.
    data
        Evaluate on all spectrograms of this data folder instead, which must be rendered with the runs' settings; this
        includes training clips if it is the data that the runs were trained on.
    min_confidence
        Also report coverage and accuracy when clips below this probability are rejected.
    """
    if data is None:
        metrics = [spectro.evaluate(run, subset=subset, min_confidence=min_confidence) for run in runs]
    else:
        after_stop.set(NOTHING)
        from spectro.evaluation.evaluate import evaluate_predictions
        from spectro.inference.classifier import predict_spectrograms

        metrics = [
            replace(evaluate_predictions(predict_spectrograms(run, data), min_confidence=min_confidence), run=run.name)
            for run in runs
        ]
    put_metrics([one.run for one in metrics], metrics, as_json)


@command("compare")
def compare(
    runs: list[Path],
    /,
    *,
    format: Literal["table", "md", "tex", "csv", "json"] = "table",
    out: Path | None = None,
) -> None:
    """Test whether runs differ on the clips they share: paired tests, corrected for the number of pairs.

    Example: spectro compare runs/resnet50-group runs/cnn5-group

    Parameters
    ----------
    runs
        Folders of at least two finished runs that were tested on the same clips.
    format
        A table to read, or text for papers and programs.
    out
        File to write that text to, instead of standard output.
    """
    if out is not None and format == "table":
        raise ConfigError(f"--out {out} needs a --format: md, tex, csv or json")
    if out is not None and format != "table":
        require_file(out, format, columns=MODEL_COLUMNS)
    comparison = spectro.compare(runs)
    if format == "table":
        return put_pairs(comparison.pairs)
    from spectro.core.files import write_text
    from spectro.reports.tables import FORMATS

    text = FORMATS[format](comparison)
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        print(f"wrote {out}")
    return None


@command("ensemble")
def ensemble(
    runs: list[Path],
    /,
    *,
    out: Path = Path("runs/ensemble"),
    weights: Annotated[Sequence[float | Fit], Several] = (),
    vote: str = "soft",
    search: Flag = False,
) -> None:
    """Combine finished runs into one: each votes over its segments, then the clips' probabilities are combined.

    Example: spectro ensemble runs/resnet50-group runs/cnn5-group --out runs/both

    Parameters
    ----------
    runs
        Folders of at least two runs that were trained on the same split.
    out
        Folder of the new run.
    weights
        One number per run (0.5 0.3 0.2), or how to fit them on validation: fitted (per run), per-class, stacked
        (logistic regression), or best (the best of all these there). Equal by default.
    vote
        Rule by which runs are combined when there are no weights: soft, hard, log-mean, median or confident.
    search
        Keep only runs that improve the ensemble on validation; the card reports the optimism of the selection.
    """
    run = spectro.ensemble(
        runs,
        out=require_folder(out, "run"),
        weights=parse_weights(weights),
        vote=vote,
        search=search,
        command=command_line.get(),
    )
    put_members(run.card)
    print(f"wrote {run.path}; next: spectro evaluate {run.path}")


@command("report")
def report(
    runs: list[Path],
    /,
    *,
    out: Path | None = None,
    data: Path | None = None,
    format: Literal["html", "md", "tex", "csv", "json"] = "html",
) -> None:
    """Write one self-contained HTML page about runs: metrics with intervals, the split, examples and errors.

    Example: spectro report runs/resnet50-group runs/both --out report.html

    Example: spectro report runs/resnet50-group --format tex --out table.tex

    Parameters
    ----------
    runs
        Folders of finished runs.
    out
        The file; by default report.FORMAT.
    data
        Data folder with the spectrograms, if it has moved since training.
    format
        The page, or only its table of models as text for papers and programs.
    """
    path = require_file(out or Path(f"report.{format}"), format, columns=MODEL_COLUMNS)
    spectro.report(runs, out=path, data=data, format=format)
    print(f"wrote {path}")


@command("crossval")
def crossval(
    runs: list[Path],
    /,
    *,
    against: Annotated[list[Path] | None, Several] = None,
    as_json: Json = False,
) -> None:
    """Summarize the folds of a cross-validation (pooled), or several seeds of one split (mean and deviation).

    Example: spectro crossval runs/tuned-1 runs/tuned-2 --against runs/probe-1 runs/probe-2

    Parameters
    ----------
    runs
        Folders of runs of one recipe that differ only in their fold, or only in their seed.
    against
        Runs of another recipe on the same folds in the same order, to test the difference: corrected t-test of Nadeau
        and Bengio, and paired tests on all clips pooled.
    """
    summary = spectro.summarize(runs)
    test = spectro.compare_folds(runs, against) if against else None
    if as_json:
        return put_json(summary.to_dict() | ({"against": test.to_dict()} if test else {}))
    put_spread(f"over {summary.runs} {summary.kind}", summary)
    if test:
        put_fold_test(test)
    return None


@command("tta")
def tta(
    runs: list[Path],
    /,
    *,
    data: Path,
    overlap: Overlap = 0.5,
    subset: EvaluatedSubset = "test",
    as_json: Json = False,
) -> None:
    """Test-time augmentation: compare runs with themselves when segments overlap, so that more of them vote.

    Example: spectro tta runs/resnet50-group --data data --overlap 0.5

    Parameters
    ----------
    runs
        Folders of finished runs.
    data
        The data folder that the runs were trained on; the audio is read from its source.
    overlap
        Share of a segment that the next one repeats, from 0 up to 1.
    subset
        Which clips; choose an overlap on val, then report it on test.
    """
    results = [spectro.compare_overlap(run, data, overlap=overlap, subset=subset, progress=not as_json) for run in runs]
    if as_json:
        return put_json([one.to_dict() for one in results])
    from spectro.reports.tables import p_value

    rows = [
        (
            one.run,
            interval(one.plain.clip.accuracy),
            interval(one.overlapped.clip.accuracy),
            interval(one.pair.difference),
            p_value(one.pair.p_mcnemar),
        )
        for one in results
    ]
    put_table(("run", "clip accuracy", "with overlap", "gain", "p"), rows)
    return None


@command("label-issues")
def label_issues(
    runs: list[Path], /, *, subset: EvaluatedSubset = "test", out: Path | None = None, as_json: Json = False
) -> None:
    """List clips whose labels may be wrong, by models that did not train on them; needs cleanlab.

    Example: spectro label-issues runs/cnn5-group-1 runs/cnn5-group-2 --out issues.csv

    Parameters
    ----------
    runs
        Folders of the runs of a cross-validation; each is used for its own test clips only.
    subset
        Which predictions to use.
    out
        CSV file to write.
    """
    if out is not None:
        require_file(out, "csv", columns=ISSUE_COLUMNS)
    issues = spectro.find_label_issues(runs, subset=subset)
    if out is not None:
        from spectro.evaluation.label_issues import write_label_issues

        names = ("clip", "label", "suggested")
        shown = [replace(issue, **{name: defuse(getattr(issue, name)) for name in names}) for issue in issues]
        write_label_issues(out, shown)
    if as_json:
        return put_json([issue.to_dict() for issue in issues])
    rows = [
        (i.clip, i.label, i.suggested, f"{i.label_probability:.2f}", f"{i.suggested_probability:.2f}") for i in issues
    ]
    put_table(("clip", "label", "suggested", "p(label)", "p(suggested)"), rows)
    print(f"{len(issues)} possible label issues; listen before changing a label")
    return None


@command("evaluate-predictions")
def evaluate_file(
    file: Path, /, *, vote: str = "soft", min_confidence: Probability | None = None, as_json: Json = False
) -> None:
    """Compute the same metrics from the predictions of any other program.

    Example: spectro evaluate-predictions predictions.csv

    Parameters
    ----------
    file
        CSV file with the columns id, truth and one per label, and optionally clip and group.
    vote
        Rule by which the segments of a clip vote: soft, hard, log-mean, median or confident.
    min_confidence
        Also report coverage and accuracy when clips below this probability are rejected.
    """
    from spectro.evaluation.evaluate import evaluate_predictions

    metrics = evaluate_predictions(spectro.Predictions.load(file), vote=vote, min_confidence=min_confidence)
    put_metrics([str(file)], [metrics], as_json)


def put_metrics(names: Sequence[str], metrics: Sequence[Metrics], as_json: bool) -> None:
    """Print the metrics that matter most of each run, or all as JSON."""
    if as_json:
        return put_json([one.to_dict() for one in metrics])
    rows = [
        (
            f"{name}\n{one.split} {one.items.clips} clips".replace("\n ", "\n"),
            interval(one.segment.accuracy if one.segment else None),
            interval(one.clip.accuracy),
            interval(one.clip.macro_f1),
        )
        for name, one in zip(names, metrics, strict=True)
    ]
    put_table(("run", "segment accuracy", "clip accuracy", "clip macro-F1"), rows)
    selective = [(name, one.selective) for name, one in zip(names, metrics, strict=True) if one.selective]
    if selective:
        title = f"confidence {selective[0][1].threshold:g} or more"
        put_table(
            (title, "coverage", "accuracy"),
            [(name, interval(one.coverage), interval(one.accuracy)) for name, one in selective],
        )
    return None


def put_pairs(pairs: Sequence[PairTest]) -> None:
    """Print paired tests."""
    from spectro.reports.tables import p_value

    rows = [
        (
            f"{pair.first}\n- {pair.second}",
            interval(pair.difference),
            p_value(pair.p_mcnemar_holm),
            p_value(pair.p_bootstrap_holm),
            pair.needed or "-",
        )
        for pair in pairs
    ]
    put_table(("pair", "difference", "p McNemar", "p groups", "needed"), rows)
    print("difference in clip accuracy; p values are corrected for the number of pairs (Holm)")
    print("needed = test clips required to detect this difference (power 0.8)")


def put_members(card: Card) -> None:
    """Print the members of an ensemble with their shares, and how optimistic the selection is."""
    if card.rules:
        rows = [(rule.rule, number(rule.accuracy) or rule.impossible) for rule in card.rules]
        put_table(("rule", "cross-validated accuracy on validation"), rows)
    put_table(("member", "share"), [(member.name, share(member)) for member in card.members])
    selection = card.selection
    if selection:
        print(f"{len(selection.left_out)} runs are left out: they do not improve the ensemble on validation")
        print(
            f"log loss on validation {selection.losses[-1]:.2f}, {selection.held_out:.2f} on clips held out from the "
            f"selection: optimism {selection.optimism:.2f}"
        )


def share(member: Member) -> str:
    """Format the weight of a member, which may differ between classes."""
    if isinstance(member.weight, tuple):
        return f"{number(min(member.weight))} to {number(max(member.weight))}, by class"
    return number(member.weight)


def put_fold_test(test: FoldTest) -> None:
    """Print how two recipes differ on the same folds."""
    from spectro.reports.tables import p_value

    print(f"clip accuracy, first - second: {test.difference:+.3f}, t = {test.t:.2f}, p {p_value(test.p)}")
    if test.pooled:
        pooled = f"{interval(test.pooled.difference)}, p {p_value(test.pooled.p_mcnemar)} (McNemar)"
        print(f"all clips pooled: {pooled}, {p_value(test.pooled.p_bootstrap)} (groups)")


def parse_weights(weights: Sequence[float | Fit]) -> Fit | list[float] | None:
    """Return a way of fitting, numbers, or None; raises ConfigError for a mixture of both."""
    numbers = [weight for weight in weights if not isinstance(weight, str)]
    words = [weight for weight in weights if isinstance(weight, str)]
    if len(words) > 1 or (words and numbers):
        raise ConfigError(f"weights are {' '.join(map(str, weights))}, but must be one number per run, or one word")
    return words[0] if words else numbers or None
