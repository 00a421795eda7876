"""Events: what holds for every recording and every rule, and the form in which a rule is typed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectro.core.errors import ConfigError
from spectro.inference.events import Event, EventRule, events_of

SECONDS = 1.0
PROBS = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.1, 0.6]])
"""Probabilities of a segment of each class."""


def recording(classes: list[int], step: float = SECONDS) -> tuple[Event, ...]:
    starts = [step * number for number in range(len(classes))]
    return events_of(starts, SECONDS, PROBS[classes], duration=max(starts, default=0) + SECONDS)


classes = st.lists(st.integers(0, 2), max_size=30)
rules = st.builds(EventRule, gap=st.sampled_from([0.0, 0.5, 1.0, 2.5]), min=st.sampled_from([0.0, 1.5, 3.0]))
steps = st.sampled_from([0.25, 0.1, 0.5, 1.0, 1.5])


@given(classes, steps, rules)
def test_events_cover_segments_of_their_class_and_keep_apart(labels: list[int], step: float, rule: EventRule) -> None:
    segments = recording(labels, step)
    events = rule.merge(segments)
    assert list(events) == sorted(events, key=lambda one: one.start)
    assert all(one.end - one.start >= rule.min - 1e-9 for one in events)
    for best in range(3):
        own = [one for one in events if one.best == best]
        assert all(after.start - before.end > rule.gap for before, after in itertools.pairwise(own))
        everything = EventRule(gap=rule.gap).merge(segments)
        for segment in (one for one in segments if one.best == best):
            holders = [one for one in everything if one.best == best and one.start <= segment.start < one.end]
            assert [one.end >= segment.end for one in holders] == [True]


@given(classes, steps, rules)
def test_merging_events_again_changes_nothing(labels: list[int], step: float, rule: EventRule) -> None:
    events = rule.merge(recording(labels, step))
    again = rule.merge(events)
    assert [(one.start, one.end, one.best) for one in again] == [(one.start, one.end, one.best) for one in events]


@given(classes, rules)
def test_what_is_not_sure_is_left_out(labels: list[int], rule: EventRule) -> None:
    events = rule.merge(recording(labels), 0.65)
    assert {one.best for one in events} <= {0, 1}
    assert EventRule(gap=99).merge(recording(labels), 0.9) == ()


def test_a_pause_is_bridged_as_far_as_the_gap_says() -> None:
    segments = recording([0, 1, 0, 0, 1])
    spans = [[(one.start, one.end, one.best) for one in EventRule(gap=gap).merge(segments)] for gap in (0.9, 1.0)]
    assert spans[0] == [(0, 1, 0), (1, 2, 1), (2, 4, 0), (4, 5, 1)]
    assert spans[1] == [(0, 4, 0), (1, 2, 1), (4, 5, 1)]
    np.testing.assert_allclose(EventRule(gap=9).merge(recording([0, 0]))[0].probs, PROBS[0])


def test_the_last_segment_ends_with_the_recording() -> None:
    assert [one.end for one in events_of((0.0, 1.0), 1.0, PROBS[:2], duration=1.4)] == [1.0, 1.4]


@pytest.mark.parametrize(
    ("text", "rule"),
    [("gap=1,min=0.5", EventRule(gap=1, min=0.5)), ("min=2", EventRule(min=2)), ("", EventRule())],
)
def test_a_rule_is_read_as_it_is_typed(text: str, rule: EventRule) -> None:
    assert EventRule.parse(text) == rule


@pytest.mark.parametrize(
    ("text", "message"),
    [("gaps=1", "did you mean 'gap'"), ("gap=x", "gap is 'x'"), ("gap=-1", "0 or more"), ("min=nan", "0 or more")],
)
def test_a_wrong_rule_is_refused_with_the_fix(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EventRule.parse(text)
