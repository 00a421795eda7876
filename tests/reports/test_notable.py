"""Notable clips are in order, and no clip is in two lists."""

from __future__ import annotations

import numpy as np

from spectro.core.predictions import Predictions
from spectro.evaluation.label_issues import LabelIssue
from spectro.reports.notable import LISTED, notable_examples


def test_notable_clips_are_in_order_and_in_one_list_each() -> None:
    rng = np.random.default_rng(0)
    ids = tuple(map(str, range(60)))
    probs = rng.dirichlet(np.ones(4), size=60)
    clips = Predictions(ids=ids, clip_ids=ids, groups=ids, labels=tuple("abcd"), probs=probs, truth=np.arange(60) % 4)
    issues = [LabelIssue(clip=n, label="a", suggested="b", label_probability=0, suggested_probability=1) for n in ids]
    notable = notable_examples(clips, None, issues)
    listed = [example.clip for example in notable.all()]
    assert len(set(listed)) == len(listed) == 3 * LISTED
    assert all(example.label_issue for example in notable.all())
    wrong = np.flatnonzero(clips.predicted != clips.truth)
    highest = sorted(probs[wrong].max(axis=1), reverse=True)[:LISTED]
    assert [example.confidence for example in notable.confident_errors] == highest
    assert not any(example.correct for example in notable.confident_errors)
    margins = np.sort(probs, axis=1)[:, -1] - np.sort(probs, axis=1)[:, -2]
    taken = {example.clip for example in notable.confident_errors}
    free = [margin for n, margin in enumerate(margins) if str(n) not in taken]
    np.testing.assert_allclose([example.margin for example in notable.lowest_margin], sorted(free)[:LISTED])
    others = [clip for clip in ids if clip not in listed[: 2 * LISTED]]
    assert [example.clip for example in notable.label_issues] == others[:LISTED]
    assert notable_examples(clips).label_issues == ()
    for example in notable.all():
        assert example.true_probability == probs[int(example.clip), int(example.clip) % 4]
