"""Why rows failed: each reason once, with all the rows that it is of."""

from reskeras.experiments.reasons import Reasons, by_reason


def test_a_reason_is_told_once_and_then_by_the_row_that_had_it_first():
    reasons = Reasons()
    rows = [("a", "no object"), ("b", "no object"), ("c", "too large"), ("a", "no object"), ("d", "no object")]
    told = [reasons.words(*each) for each in rows]
    assert told == ["no object", "as 'a' did", "too large", "no object", "as 'a' did"]


def test_rows_are_listed_by_their_reason():
    assert by_reason([]) == []
    rows = [("a", "no object"), ("b", "too large"), ("c", "no object"), ("a", "no object")]
    assert by_reason(rows) == ["a, c: no object", "b: too large"]
