"""Verdicts on findings: what seeds and test images leave open is undecided; McNemar's test against its definition."""

import math

import numpy as np
import pytest
from scipy.stats import chi2, t

from reskeras.documents.validation import validated
from reskeras.experiments.page import VERDICTS
from reskeras.experiments.results import RowResult, SuiteResult
from reskeras.experiments.right_images import RightImages, Untested, chance_of_difference
from reskeras.experiments.statistics import Statistics
from reskeras.experiments.suite import SuiteSpec
from reskeras.experiments.verdicts import Spread, pooled_spread

IMAGES = 10_000


def images(wrong, labels=0):
    """The images of a run that has those from the first to the last of `wrong` wrong."""
    right = np.ones(IMAGES, bool)
    right[slice(*wrong)] = False
    return RightImages.of(right, np.full(IMAGES, labels))


def suite(measure):
    rows = [{"row": name, "network": f"cifar-resnet-{depth}"} for name, depth in (("a", 20), ("b", 32), ("c", 44))]
    return validated(
        SuiteSpec,
        {
            "title": "t",
            "source": "s",
            "expects": "e",
            "measures": [measure],
            "protocol": "cifar",
            "rows": rows,
            "findings": [{"less": "a", "more": "b", "by": measure, "says": "a is better."}],
        },
    )


def verdict(measure="early_error", wrong=None, **errors):
    """What becomes of the finding that row a is below row b; errors by row, in per cent for a measure that is one."""
    scale = 1 if measure == "response" else 100
    rows = [
        RowResult(
            name,
            {},
            figures={seed: {measure: error / scale} for seed, error in enumerate(values)},
            runs={seed: f"{name}-{seed}" for seed in range(len(values))},
            right={seed: {"test": each} for seed, each in enumerate((wrong or {}).get(name, ()))},
        )
        for name, values in errors.items()
    ]
    [(finding, found)] = SuiteResult("mine", suite(measure), "short", rows).findings()
    assert finding.says == "a is better."
    return found


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [
        ([5.0], [6.0], "came out"),
        ([6.0], [5.0], "reversed"),
        ([5.0], [5.46], "came out"),  # 2 x 0.16 x sqrt(2) = 0.453
        ([5.0], [5.45], "undecided"),
        ([5.45], [5.0], "undecided"),
        ([5.0, 5.0], [5.33, 5.33], "came out"),  # 2 x 0.16 x sqrt(1) = 0.32
        ([5.0, 5.0], [5.31, 5.31], "undecided"),
        ([5.0], [5.40, 5.40], "came out"),  # 2 x 0.16 x sqrt(3 / 2) = 0.392
        ([5.0], [5.38, 5.38], "undecided"),
        ([4.0, 6.0], [6.0, 8.0], "undecided"),  # s = sqrt 2: 2.83
        ([4.0, 6.0], [6.9, 8.9], "came out"),
        ([91.671], [91.669], "undecided"),
    ],
)
def test_a_difference_must_exceed_twice_its_standard_error(a, b, word):
    assert verdict(a=a, b=b).word == word


def test_the_deviation_is_that_of_the_two_rows_or_of_the_table_where_one_has_a_single_seed():
    assert verdict(a=[5.0], b=[6.0]).word == "came out"
    assert verdict(a=[5.0], b=[6.0], c=[4.0, 6.0]).word == "undecided"
    assert verdict(a=[5.0, 5.0], b=[6.0, 6.0], c=[4.0, 6.0]).word == "came out"
    assert verdict(a=[5.0, 5.0], b=[6.0], c=[4.0, 6.0]).word == "undecided"
    assert verdict(a=[4.0, 6.0], b=[8.4], c=[5.0, 5.0]).word == "undecided"  # the two rows' own is more
    assert verdict(a=[4.0, 6.0], b=[6.0, 6.0], c=[5.0, 5.0]).word == "undecided"
    several = [Statistics.of(values) for values in ([0.04, 0.06, 0.08], [0.05, 0.06], [0.9])]
    squares = sum(((np.array(each) - np.mean(each)) ** 2).sum() for each in ([0.04, 0.06, 0.08], [0.05, 0.06]))
    assert pooled_spread(several, "test_error") == Spread(pytest.approx(np.sqrt(squares / 3)), 3)
    assert pooled_spread(several[2:], "test_error") == Spread(0.0016, 0)
    assert pooled_spread([Statistics.of([0.05, 0.0501])], "test_error") == Spread(0.0016, 0)
    assert pooled_spread(several[2:], "removed_error") is None
    assert pooled_spread(several[2:], "response") is None
    assert pooled_spread(several, "parameters") == Spread(0, 0)


def test_it_is_told_what_the_deviation_is_known_from():
    assert (
        "where twice its standard error is 0.45 points (assuming that seeds vary by 0.16 points)"
        in verdict(a=[5.0], b=[6.0]).why
    )
    assert "(2 degrees of freedom)" in verdict(a=[4.0, 6.0], b=[6.0, 8.0]).why
    assert "(1 degree of freedom)" in verdict(a=[4.0, 6.0], b=[12.0]).why


def test_the_page_says_how_weak_the_rule_is():
    assert [round(10 * 2 * t.sf(2, freedom)) for freedom in (1, 2)] == [3, 2]
    assert "three times in ten with one degree of freedom, and twice in ten with two" in VERDICTS


def test_a_measure_without_a_known_deviation_is_undecided_until_a_row_has_two_seeds():
    single = verdict("response", a=[1.0], b=[2.0])
    assert single.word == "undecided" and "no row has several seeds" in single.why
    assert verdict("response", a=[1.0, 1.1], b=[2.0]).word == "came out"


def test_counts_do_not_vary():
    assert verdict("parameters", a=[100.0], b=[200.0]).word == "came out"
    assert verdict("parameters", a=[100.0], b=[100.0]).word == "undecided"


def test_a_single_seed_says_that_networks_differ_not_architectures():
    assert "the networks differ" in verdict(a=[5.0], b=[6.0]).why
    assert "the networks differ" in verdict(a=[5.0, 5.1], b=[6.0]).why
    assert "the networks differ" not in verdict(a=[5.0, 5.1], b=[6.0, 6.1]).why
    assert "the networks differ" not in verdict(a=[5.0], b=[5.1]).why


def test_an_error_needs_the_images_to_differ_as_well():
    apart = {"a": [images((0, 500))], "b": [images((0, 600))]}  # on 100 images b alone is wrong
    assert verdict("test_error", apart, a=[5.0], b=[6.0]).word == "came out"
    crossed = {"a": [images((0, 500))], "b": [images((500, 1100))]}  # on 500 and on 600
    assert verdict("test_error", crossed, a=[5.0], b=[6.0]).word == "came out"
    chance = {"a": [images((0, 5000))], "b": [images((5000, 5100))]}
    assert verdict("test_error", chance, a=[50.0], b=[1.0]).word == "reversed"
    noisy = {"a": [images((0, 2000))], "b": [images((2000, 4100))]}  # 2,000 and 2,100: z = 1.56
    told = verdict("test_error", noisy, a=[20.0], b=[21.0])
    assert told.word == "undecided" and "McNemar's test: p = 0.122" in told.why
    without = verdict("test_error", None, a=[5.0], b=[6.0])
    assert without.word == "undecided" and "because which images they got right was not recorded" in without.why
    other = {"a": [images((0, 500))], "b": [images((0, 600), labels=1)]}
    elsewhere = verdict("test_error", other, a=[5.0], b=[6.0])
    assert elsewhere.word == "undecided" and "because they were not tested on the same images" in elsewhere.why


@pytest.mark.parametrize(("one", "other"), [(30, 50), (200, 260), (500, 500), (20, 0), (3, 1), (0, 0)])
def test_for_one_run_each_the_chance_is_that_of_a_coin(one, other):
    first, second = images((0, one)), images((one, one + other))
    count = one + other
    ways = sum(math.comb(count, heads) for heads in range(count + 1) if abs(2 * heads - count) >= abs(one - other))
    assert chance_of_difference([first], [second]) == pytest.approx(ways / 2**count, rel=1e-9)
    assert chance_of_difference([second], [first]) == pytest.approx(ways / 2**count, rel=1e-9)
    if count > 400:  # McNemar's own approximation
        assert ways / 2**count == pytest.approx(chi2.sf((abs(one - other) - (one != other)) ** 2 / count, 1), rel=0.02)


def test_several_runs_that_differ_on_fewer_than_25_images_say_nothing():
    with pytest.raises(Untested, match="differ on 24 images, fewer than 25"):
        chance_of_difference([images((0, 24))] * 2, [images((0, 0))])


def test_several_runs_are_tested_by_the_mean_of_each_image():
    rng = np.random.default_rng(0)
    hard = rng.uniform(0, 0.5, IMAGES)
    labels = np.zeros(IMAGES, np.int32)
    runs = [[RightImages.of(rng.random(IMAGES) > hard + more, labels) for _ in range(3)] for more in (0, 0.01)]
    means = [np.mean([each.right() for each in side], axis=0) for side in runs]
    observed = means[0] - means[1]
    signs = rng.choice([-1, 1], (4000, IMAGES))  # the distribution that is approximated
    share = np.mean(np.abs(signs @ observed) >= abs(observed.sum()))
    assert chance_of_difference(*runs) == pytest.approx(share, abs=0.02)
    assert chance_of_difference(*runs) < chance_of_difference(runs[0][:1], runs[1][:1])


@pytest.mark.parametrize("count", [1, 7, 8, 9, 1000])
def test_images_are_packed_and_unpacked(count):
    right = np.random.default_rng(count).random(count) > 0.5
    packed = RightImages.of(right, np.arange(count))
    assert (packed.right() == right).all()
    with pytest.raises(ValueError, match="bytes, not"):
        RightImages(count + 8, packed.bits, "").right()


def test_findings_on_rows_of_another_scale_are_left_out():
    data = suite("test_error").sparse()
    data["rows"][0] |= {"ours": True, "budget": {"turn": "must"}}
    data["rows"][1] |= {"budget": {"turn": "may"}}
    spec = validated(SuiteSpec, data)
    assert SuiteResult("mine", spec, "short", []).findings() == []
    [(_, found)] = SuiteResult("mine", spec, "budget", []).findings()
    assert found.word == "not measured"
