"""Suites as data: every row of every suite is a network to be trained, counts agree with the papers' digits."""

import hashlib
import json
import math
from pathlib import Path

import pytest

from reskeras.errors import ReskerasError
from reskeras.experiments import paper_differences
from reskeras.experiments.paper_differences import differences
from reskeras.experiments.reproduce import prepared
from reskeras.experiments.statistics import Statistics
from reskeras.experiments.suite import SCALES, read_protocol, read_suite, suite_names, task_of
from reskeras.experiments.suite_rows import label_of, rows_of
from reskeras.networks.catalog import catalog
from reskeras.networks.network import NetworkSpec

PAPERS = [
    "cifar-shortcuts",
    "inception-figure-26",
    "v1-figure-4",
    "v1-figure-6",
    "v1-figure-7",
    "v1-table-1",
    "v1-table-2",
    "v1-table-3",
    "v1-table-4",
    "v1-table-6",
    "v2-figure-6",
    "v2-table-1",
    "v2-table-2",
    "v2-table-3",
    "v2-table-4",
    "v2-table-5",
]
SPEED = ["fast-cifar"]  # not a table of a paper
DETECTION = ["v1-table-7", "v1-table-8", "v1-table-9"]
LOCALISATION = ["v1-table-13"]
# of the labels of each suite's rows at a scale, by which finished trainings are found
GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "suite_runs.json").read_text())
MINE = """\
title: Mine
source: nowhere
expects: Nothing.
protocol: cifar
measures: [test_error]
rows:
  - {row: one, network: cifar-resnet-20}
  - {row: two, network: {family: cifar, depth: 20%s}}
"""


def test_every_table_and_figure_is_there():
    assert suite_names() == sorted([*PAPERS, *SPEED, *DETECTION, *LOCALISATION])
    assert {task_of(read_suite(name)) for name in PAPERS} == {"classification"}
    assert {task_of(read_suite(name)) for name in DETECTION} == {"detection"}


def has_rows(name, scale):
    return any(row.runs_at(scale) for row in read_suite(name).rows)


@pytest.mark.parametrize(
    ("name", "scale"), [(name, scale) for name in PAPERS for scale in SCALES if has_rows(name, scale)]
)
def test_every_row_is_a_network_and_a_recipe_at_every_scale(name, scale):
    suite = read_suite(name)
    rows = rows_of(suite, scale)
    assert [row.asked for row in rows] == [row for row in suite.rows if row.runs_at(scale)]
    for row in rows:
        assert row.plan.output_shape[0] > 1
        if suite.protocol:
            row.recipe.check(row.plan)
            assert row.data
            assert scale != "paper" or differences(suite, row) == ([row.asked.differs] if row.asked.differs else [])
            assert scale == "paper" or len(differences(suite, row)) >= 2
            if scale != "paper":  # --data may give any images: their channels decide
                assert row.spec.sparse().get("input_shape", [None])[-1] is None


@pytest.mark.parametrize("name", PAPERS)
def test_named_rows_keep_their_networks_at_the_paper_scale(name):
    suite = read_suite(name)
    for row in rows_of(suite, "paper"):
        if isinstance(row.asked.network, str):
            assert row.spec == catalog()[row.asked.network].spec


def test_the_budget_is_the_rows_that_have_one_and_ours_are_nowhere_else():
    suite = read_suite("v2-table-2")
    budget, paper = ([row.name for row in rows_of(suite, scale)] for scale in ("budget", "paper"))
    assert budget == [row.row for row in suite.rows if row.budget]
    assert {"original 56", "full preact 56"} <= {*budget} - {*paper}
    assert {row.row for row in suite.rows} == {*budget, *paper}
    assert all(row.spec.sparse()["depth"] == int(row.name[-3:]) for row in rows_of(suite, "budget"))  # never relabelled
    with pytest.raises(ReskerasError, match="no row of this suite is run at the scale budget"):
        rows_of(read_suite("v1-table-4"), "budget")
    with pytest.raises(ReskerasError, match="'bn after add 110' is not run at the scale budget; use original 110"):
        rows_of(suite, "budget", ["bn after add 110"])


def test_each_ablation_takes_one_thing_from_the_fast_network_or_its_recipe():
    rows = rows_of(read_suite("fast-cifar"), "budget")
    whole = {row.name: {**row.spec.decided().model_dump(), **row.recipe.model_dump()} for row in rows}
    fast = whole["8 epochs"]
    changed = {name: [field for field in fast if fast[field] != other.get(field)] for name, other in whole.items()}
    assert changed.pop("fast") == ["epochs"] and changed.pop("8 epochs, 6 views") == changed.pop("8 epochs") == []
    by_sgd = {"optimizer", "learning_rate", "weight_decay", "rate_factors", "lookahead"}
    assert {*changed.pop("8 epochs of SGD as airbench")} >= by_sgd
    ablations = [fields for name, fields in changed.items() if name.startswith("8 epochs")]
    assert all(len(fields) == 1 for fields in ablations), changed
    assert len({*map(tuple, ablations)}) == len(ablations) == 7


def test_every_trained_row_of_the_budget_has_the_same_recipe_and_images():
    recipes = {}
    for name in PAPERS:
        for row in rows_of(read_suite(name), "budget") if has_rows(name, "budget") else ():
            recipes[row.recipe.model_dump_json(), row.data] = name
    assert len(recipes) == 1


@pytest.mark.parametrize("name", ["v1-table-1", "v1-table-6"])
def test_counts_agree_with_the_printed_digits_or_say_why_not(name):
    checked = 0
    for row in rows_of(read_suite(name), "paper"):
        for measure in ("multiply_adds", "parameters"):
            if measure in row.asked.published:
                printed = float(row.asked.published[measure])
                digits = len(f"{printed:.6e}".partition("e")[0].rstrip("0.").replace(".", ""))
                unit = 10 ** (math.floor(math.log10(printed)) - digits + 1)
                count = getattr(row.plan.complexity(), measure)
                assert (abs(count - printed) <= unit / 2) == (not row.asked.why), (row.name, count, printed)
                checked += 1
    assert checked >= 6


def test_a_bottleneck_costs_what_two_3x3_layers_cost():
    two, bottleneck = [row.plan for row in rows_of(read_suite("v1-table-1"), "paper")][-2:]
    costs = [
        sum(unit.cost.multiply_adds for unit in plan.complexity().units if unit.name.startswith("stage"))
        for plan in (two, bottleneck)
    ]
    positions = 56 * 56
    assert costs[0] == positions * 2 * 9 * 64 * 64
    assert costs[1] == positions * (64 * 64 + 9 * 64 * 64 + 64 * 256 + 64 * 256)  # and its projection


def test_rows_that_differ_in_nothing_but_their_label_are_refused(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(MINE % "")
    with pytest.raises(ReskerasError, match="'two' differs from 'one' only in its name"):
        rows_of(read_suite(file), "paper")
    file.write_text(MINE % ", shortcut: B")
    assert [row.name for row in rows_of(read_suite(file), "paper")] == ["one", "two"]


def test_networks_that_a_scale_makes_one_are_refused_there_but_in_smoke(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text((MINE % "").replace("depth: 20", "depth: 32") + "scales: {short: {network: {depth: 20}}}\n")
    assert len(rows_of(read_suite(file), "paper")) == len(rows_of(read_suite(file), "smoke")) == 2
    with pytest.raises(ReskerasError, match="only in its name"):
        rows_of(read_suite(file), "short")


def test_suites_share_the_runs_of_what_is_the_same():
    labels = [
        {row.name: label_of(row) for row in rows_of(read_suite(name), "short")}
        for name in ("v1-figure-6", "v1-figure-7", "v1-table-6")
    ]
    for row in ("resnet-20", "resnet-56", "resnet-110"):
        assert len({each[row] for each in labels}) == 1
    assert labels[0]["plain-56"] == labels[1]["plain-56"]
    assert len(set(labels[0].values())) == 10


@pytest.mark.parametrize(("name", "digest"), GOLDEN.items())
def test_the_folders_of_runs_are_those_of_earlier_versions(name, digest):
    suite, scale = name.split()
    found = {row.name: label_of(row) for row in rows_of(read_suite(suite), scale)}
    assert hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16] == digest


def test_runs_of_earlier_versions_are_found_again():
    # identities as they were before recipes had losses
    rows = prepared("v1-figure-6", "short").rows
    assert [row.identity for row in rows[:3]] == ["54da68f1", "8eb7de5a", "f4415bb9"]


def test_differences_are_told_in_words():
    suite = read_suite("v2-table-1")
    [row] = rows_of(suite, "short", ["conv1x1"])
    facts = {
        "data": {"label": "cifar10 (jpeg), 10,000 training images"},
        "training_images": 10000,
        "precision": "mixed_bfloat16",
    }
    assert differences(suite, row, facts, 2) == [
        "10,000 of 50,000 training images",
        "images recoded as JPEG",
        "56 layers instead of 110",
        "20 epochs instead of 64,000 iterations",
        "computed in bf16",
        "2 of 5 runs",
    ]


@pytest.mark.parametrize(("images", "said"), [(50_000, False), (45_000, False), (44_999, True)])
def test_images_held_out_as_the_paper_does_are_no_difference(images, said):
    suite = read_suite("v2-table-1")
    [row] = rows_of(suite, "paper", ["conv1x1"])
    found = differences(suite, row, {"training_images": images}, 5)
    assert (f"{images:,} of 50,000 training images" in found) is said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("title: x\n", "source: required, but not set"),
        (MINE % "" + "findings: [{less: one, more: three, by: test_error, says: x}]\n", "'three' is not a row"),
        (MINE % "" + "findings: [{less: one, more: two, by: gap, says: x}]\n", "'gap' is not one of the measures"),
        ((MINE % "").replace("row: two", "row: one"), "rows: 'one' appears twice"),
        ((MINE % "").replace("protocol: cifar\n", ""), "test_error needs a protocol"),
        (
            (MINE % "").replace("measures: [test_error]", "measures: [luck]"),
            "'luck' is not one of 21 names such as test_error",
        ),
        ((MINE % "").replace("depth: 20}", "depth: 20}, ours: true"), "a row that is not in the paper needs budget"),
        ((MINE % "").replace("depth: 20", "depth: 20}, budget: {turn: soon"), "'soon' is not one of must"),
    ],
)
def test_what_is_wrong_in_a_suite_is_told(tmp_path, text, why):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ReskerasError, match=why):
        read_suite(tmp_path / "mine.yaml")


def test_unknown_rows_and_suites_are_refused_with_the_nearest():
    with pytest.raises(ReskerasError, match="did you mean plain-20"):
        rows_of(read_suite("v1-figure-6"), "short", ["plain20"])
    with pytest.raises(ReskerasError, match="v1-figure-6"):
        read_suite("v1-figure-5")


def test_a_protocol_says_what_to_do_at_every_scale(tmp_path):
    (tmp_path / "mine.yaml").write_text("description: x\nimages: 5\nscales: {paper: {data: digits, recipe: quick}}\n")
    with pytest.raises(ReskerasError, match=r"scales\.short: needs data and recipe"):
        read_protocol(tmp_path / "mine.yaml")


@pytest.mark.parametrize("values", [[0.3], [0.1, 0.4], [0.5, 0.1, 0.3]])
def test_statistics_over_seeds_are_numpys(values):
    import numpy as np

    found = Statistics.of(values)
    expected = (np.median(values), np.mean(values), np.std(values, ddof=1) if len(values) > 1 else 0.0, len(values))
    assert (found.median, found.mean, found.deviation, found.count) == pytest.approx(expected)


def test_a_papers_network_is_lowered_once_for_all_the_runs_that_are_compared_with_it(monkeypatch):
    suite, lowered = read_suite("v1-figure-6"), []
    row, other = rows_of(suite, "short")[:2]
    lower = NetworkSpec.lower
    monkeypatch.setattr(NetworkSpec, "lower", lambda spec: lowered.append(spec.sparse()) or lower(spec))
    paper_differences._PAPERS.clear()
    told = [differences(suite, row, {}, runs) for runs in (1, 2)]
    assert told[0][:-1] and lowered
    count = len(lowered)
    assert differences(suite, row, {}, 1) == told[0] and len(lowered) == count
    assert differences(suite, other) and len(lowered) > count
