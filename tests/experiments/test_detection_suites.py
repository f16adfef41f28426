"""Suites of detectors: published figures, rows by spec and evaluation, one run for rows that only look otherwise."""

import csv
import json
import shutil

import pytest
from click.testing import CliRunner

import reskeras
from reskeras.errors import ReskerasError
from reskeras.experiments.cost import cost
from reskeras.experiments.measures import COCO, figures_of
from reskeras.experiments.paper_differences import differences
from reskeras.experiments.pictures import Pictured
from reskeras.experiments.reproduce import all_prepared, measured, prepared
from reskeras.experiments.results_folder import read_result
from reskeras.experiments.suite import MEASURES_OF, read_protocol, read_suite
from reskeras.experiments.suite_rows import label_of, rows_of
from reskeras.networks.catalog import catalog
from reskeras.recipes.recipe import recipe
from reskeras.tasks.detection.job import DetectorJob
from reskeras.tasks.detection.opening import open_objects
from reskeras.tasks.detection.options import Options
from reskeras_cli.main import commands
from tests.tasks.detection.shapes import DETECTOR

SUITES = ["v1-table-7", "v1-table-8", "v1-table-9"]
# mAP at 0.5 and over 0.5 to 0.95, of VGG-16 and ResNet-101, typed from arXiv:1512.03385v1, tables 7 to 9
VOC = {"07 test": (73.2, 76.4), "12 test": (70.4, 73.8)}
COCO_VAL = {"VGG-16": (41.5, 21.2), "ResNet-101": (48.4, 27.2)}
BETTER = {
    "baseline, VGG-16": (41.5, 21.2),
    "baseline": (48.4, 27.2),
    "+box refinement": (49.9, 29.9),
    "+context": (51.1, 30.0),
    "+multi-scale testing": (53.8, 32.5),
    "+context, test-dev": (53.3, 32.2),
    "+multi-scale testing, test-dev": (55.7, 34.9),
    "ensemble, test-dev": (59.0, 37.4),
}
PROTOCOL = """\
description: d
task: detection
images: 10
scales:
  paper: {data: digits-boxes, recipe: detector}
  short: {data: digits-boxes, recipe: detector}
  smoke: {data: digits-boxes, recipe: detector%s}
"""
MINE = """\
title: Mine
source: nowhere
expects: Nothing.
protocol: %s
measures: [coco_map]
rows:
  - {row: one, network: resnet-18%s}
"""


def ask(*words):
    return CliRunner().invoke(commands, [*map(str, words)])


@pytest.fixture
def mine(tmp_path):
    """Writes a suite and its protocol, and returns the suite's path."""

    def write(row="", protocol="", change=("", "")):
        (tmp_path / "how.yaml").write_text(PROTOCOL % protocol)
        (tmp_path / "mine.yaml").write_text((MINE % (tmp_path / "how.yaml", row)).replace(*change))
        return tmp_path / "mine.yaml"

    return write


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The baseline and the same detector with box refinement, at the smoke scale."""
    place, told = tmp_path_factory.mktemp("detectors"), []
    result = reskeras.reproduce(
        "v1-table-9", "smoke", rows=["baseline", "+box refinement"], out=place, tell=told.append
    )
    return place, result, told


def test_published_figures_are_those_of_the_paper():
    rows = {name: {row.row: row.published for row in read_suite(name).rows} for name in SUITES}
    for place, network in enumerate(("VGG-16", "ResNet-101")):
        assert rows["v1-table-7"][network] == {"map_eleven": VOC["07 test"][place], "map_area": VOC["12 test"][place]}
    for name, paper in (("v1-table-8", COCO_VAL), ("v1-table-9", BETTER)):
        assert rows[name] == {row: {"coco_map50": at, "coco_map": over} for row, (at, over) in paper.items()}


@pytest.mark.parametrize("scale", ["paper", "short", "smoke"])
@pytest.mark.parametrize("name", SUITES)
def test_every_row_is_a_detector_that_its_recipe_trains(name, scale):
    suite, source = read_suite(name), open_objects("digits-boxes")
    rows = rows_of(suite, scale)
    assert [row.name for row in rows] == [row.row for row in suite.rows if row.network is not None]
    protocol = read_protocol(suite.protocol)
    for row in rows:
        assert DetectorJob(row.spec, row.recipe, source).plan
        own = [each for each in (protocol.differs, row.asked.differs) if each]
        assert differences(suite, row)[-len(own) :] == own
        assert scale != "paper" or differences(suite, row) == own
        assert scale == "paper" or any(each.startswith("digits-boxes") for each in differences(suite, row))
        if scale == "paper":
            assert row.network.decided().stages == catalog()["resnet-101"].spec.decided().stages
            assert row.spec.resize.sides == (600, 1000)


def test_rows_of_table_9_build_on_each_other_and_share_runs_where_only_the_look_differs():
    for scale in ("paper", "short", "smoke"):
        baseline, refined, context, scales = rows_of(read_suite("v1-table-9"), scale)
        assert label_of(baseline) == label_of(refined) != label_of(context) == label_of(scales)
        looks = [row.views.options() for row in (baseline, refined, context, scales)]
        assert [look.refine for look in looks] == [False, True, True, True]
        assert [bool(look.scales or look.shorter) for look in looks] == [False, False, False, True]
        assert [row.spec.regions.context for row in (baseline, refined, context, scales)] == [False, False, True, True]
    assert rows_of(read_suite("v1-table-9"), "paper")[-1].views.shorter == (200, 400, 600, 800, 1000)


def test_the_recipe_is_the_papers_in_one_training():
    chosen = recipe("paper-detection")
    assert (chosen.iterations, chosen.batch_size, chosen.learning_rate) == (240_000 + 80_000, 8, 0.001)
    assert chosen.schedule.drops == (240_000 / 320_000,) and chosen.schedule.factor == 0.1
    assert (chosen.momentum, chosen.weight_decay) == (0.9, 0.0005)
    assert "jointly" in chosen.description
    assert all("jointly" in read_protocol(name).differs for name in ("coco", "voc"))


def test_rows_are_trained_once_and_measured_as_each_looks(done):
    _, result, told = done
    baseline, refined = result.row("baseline"), result.row("+box refinement")
    assert baseline.runs == refined.runs and sum(note.startswith("preprocessing") for note in told) == 1
    run = reskeras.Run(baseline.runs[0])
    assert isinstance(run, reskeras.DetectorRun) and run.folder.recipe().seed == 0
    assert baseline.figures[0].keys() == refined.figures[0].keys() == {"coco_map", "coco_map50", "coco_map75"}
    assert baseline.figures[0]["coco_map"] == run.evaluate().coco.map


def test_published_rows_stand_beside_those_that_are_run(done):
    place, result, _ = done
    assert [row.row for row in result.rows] == [
        row for row in BETTER if row not in ("+context", "+multi-scale testing")
    ]
    ensemble = result.row("ensemble, test-dev")
    assert not ensemble.figures and not ensemble.error and "test-dev" in ensemble.differences[0]
    everywhere, own = result.differences()
    assert "digits-boxes instead of coco/2014" in everywhere and "baseline" not in own
    assert own["baseline, VGG-16"][0].startswith("not trained here")
    _, lines = result.table()
    [shown] = [line for line in lines if line[0] == "ensemble, test-dev"]
    assert shown[1:] == ["59%", "", "37.4%", "", ""]
    with open(place / "v1-table-9" / "smoke" / "results.csv", newline="") as file:
        names = {line["row"].removeprefix("'") for line in csv.DictReader(file)}  # a spreadsheet would add up +box
        assert names == {"baseline", "+box refinement"}
    verdicts = [verdict for _, verdict in result.findings()]
    assert "the same network" not in verdicts[0].why and [each.word for each in verdicts[1:]] == ["not measured"] * 2


def test_the_page_has_curves_against_the_published_figures_and_the_backbone(done):
    place, result, _ = done
    pictured = Pictured.of(result)
    assert pictured.curves()["log"] == "average_precision"
    assert [*pictured.records] == ["baseline"]  # whose run is that of +box refinement too
    assert pictured.published["baseline"] == pytest.approx(100 - 27.2)
    assert all("val_average_precision" in epoch for epochs in pictured.metrics.values() for epoch in epochs)
    folder = place / "v1-table-9" / "smoke"
    page = (folder / "report.html").read_text()
    assert "Backbone baseline" in page and "1 - mAP" in page
    assert (folder / "curves.png").is_file()
    again = read_result(folder)
    assert [row.figures for row in again.rows] == [row.figures for row in result.rows]
    assert Pictured.of(again).metrics.keys() == pictured.metrics.keys()


def test_finished_rows_are_not_trained_again_and_what_is_left_is_told(done):
    place, _, _ = done
    shown = ask("reproduce", "v1-table-9", "--scale", "smoke", "--rows", "baseline", "--out", place)
    assert shown.exit_code == 0, shown.output
    assert "1 already done" in shown.stdout and "preprocessing" not in shown.stderr
    ready = prepared("v1-table-9", "smoke")
    expected = cost([ready], place)
    assert [each.is_done for each in expected.trainings] == [True, False]
    first, row = expected.trainings[0], ready.rows[0]
    run = reskeras.Run(prepared_run(place, row))
    per_image = sum(part.multiply_adds * times for part, times in run.plan.costs().values())
    assert first.multiply_adds == pytest.approx((3 * 40 + 100) * per_image)


def prepared_run(place, row):
    return place / "runs" / label_of(row) / "seed-0"


@pytest.mark.slow
def test_measures_are_those_of_the_evaluation_with_the_rows_options(trained_detector, tmp_path, mine):
    run = reskeras.DetectorRun(shutil.copytree(trained_detector / "tiny", tmp_path / "run"))
    wanted = MEASURES_OF["detection"]
    found = {}
    for look in ("", ", evaluation: {refine: true, scales: [0.75, 1], canonical: 20}"):
        [row] = rows_of(read_suite(mine(protocol=look)), "smoke")
        found[look] = figures_of(row, run, wanted).figures
        options = Options(True, (0.75, 1.0), 20) if look else Options()
        there = run.evaluate(options=options)
        assert [found[look][name] for name in COCO] == [there.coco.map, there.coco.map50, there.coco.map75]
        assert (found[look]["map_area"], found[look]["map_eleven"]) == (there.voc.map_area, there.voc.map_eleven)
        assert found[look]["parameters"] == sum(each.numpy().size for each in run.model().trainable_weights)
        assert found[look]["multiply_adds"] == run.plan.multiply_adds
        assert there.coco.map > 0
    assert len({json.dumps(each) for each in found.values()}) == 2
    [row] = rows_of(read_suite(mine()), "smoke")
    kept = json.loads((run.path / "measures.json").read_text())
    assert len(kept) == 10 and figures_of(row, run, wanted).figures == found[""]  # cached by look


@pytest.mark.slow
def test_own_data_take_the_place_of_the_scales(detector_files, tmp_path):
    voc = f"voc:{detector_files / 'shapes'}"
    result = reskeras.reproduce("v1-table-8", "smoke", out=tmp_path, data=voc)
    [_, row] = result.rows
    assert not result.failed and row.figures[0].keys() == {*COCO}
    run = reskeras.DetectorRun(row.runs[0])
    assert run.folder.provenance()["data"]["name"] == voc and run.folder.spec().classes == len(run.folder.classes())
    assert f"{voc} instead of coco/2014" in row.differences


def test_what_a_detector_has_besides_its_network_is_counted_and_told(mine):
    text = f"\n  - {{row: two, network: {json.dumps(DETECTOR)}, published: {{coco_map: fail}}}}"
    suite = read_suite(mine(change=("resnet-18}", "resnet-18}" + text)))
    _, two = rows_of(suite, "paper")
    assert two.network.decided() == two.spec.backbone.decided() and two.plan.spec.regions.size == 6
    said = differences(read_suite("v1-table-8"), rows_of(read_suite("v1-table-8"), "short")[0])
    assert "14 layers instead of 101" in said and "0.25 times the width" in said
    assert "regions beta 0.111111 instead of 1" in said and "detections overlap 0.5 instead of 0.3" in said


def test_a_suite_that_only_counts_may_be_of_detectors(tmp_path):
    file = tmp_path / "counts.yaml"
    file.write_text(
        "title: t\nsource: s\nexpects: e\ntask: detection\nmeasures: [parameters, multiply_adds]\n"
        "rows: [{row: one, network: resnet-18}]\n"
    )
    shown = ask("reproduce", file, "--out", tmp_path / "out", "--json")
    assert shown.exit_code == 0, shown.output
    plan = reskeras.plan("resnet-18")
    figures = json.loads(shown.stdout)["rows"][0]["figures"]["0"]
    assert figures["multiply_adds"] > plan.complexity().multiply_adds
    assert figures["parameters"] > plan.complexity().parameters - 513 * 1000


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("[coco_map]", "[top5_error]"), "measures: top5_error is not a measure of detectors, .*use coco_map"),
        (("[coco_map]", "[gap, coco_map]"), "measures: gap is not a measure of detectors"),
        (("resnet-18", "resnet-18, published: {test_error: 1}"), "'one': test_error is not a measure of detectors"),
        (("[coco_map]", "[coco_map]\ntask: classification"), "task: classification contradicts the protocol"),
        (("network: resnet-18", "published: {coco_map: 1}"), "rows: none has a network|that it is not run"),
        (("row: one, network: resnet-18", "row: one, network: vgg-19"), "vgg-19 has no stages to share"),
        (("resnet-18", "resnet-18, scales: {short: {evaluation: {views: 10}}}"), "'views' is not one of canonical"),
        (("resnet-18", "resnet-18, scales: {short: {evaluation: {scales: [2, 1]}}}"), "two or more increasing factors"),
        (("resnet-18", "resnet-18, fields: {mixup: 1}"), "mixup"),
    ],
)
def test_what_is_wrong_in_a_suite_of_detectors_is_told(mine, change, why):
    with pytest.raises(ReskerasError, match=why):
        rows_of(read_suite(mine(change=change)), "smoke")


def test_measures_and_views_of_detectors_are_refused_for_classifiers(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(MINE % ("cifar", ""))
    with pytest.raises(ReskerasError, match="coco_map is not a measure of classifiers"):
        read_suite(file)
    text = MINE.replace("coco_map", "test_error") % ("cifar", "") + "scales: {smoke: {evaluation: {refine: true}}}\n"
    file.write_text(text)
    with pytest.raises(ReskerasError, match=r"'refine' is not one of .*scales.smoke.evaluation"):
        read_suite(file)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--rows", "VGG-16"), "rows: 'VGG-16' has published figures only: not trained here"),
        (("--scale", "budget"), "scale: no row of this suite is run at the scale budget"),
        (("--scale", "smoke", "--data", "digits"), "use voc:PATH|digits-boxes"),
    ],
)
def test_wrong_requests_are_refused(words, why, tmp_path):
    shown = ask("reproduce", "v1-table-8", *words, "--out", tmp_path / "out")
    assert shown.exit_code == 2
    assert any(each in " ".join(shown.stderr.split()) for each in why.split("|")), shown.stderr


def test_images_given_in_python_are_refused(tmp_path):
    with pytest.raises(ReskerasError, match="a detector is trained on a source with a name: digits-boxes"):
        reskeras.reproduce("v1-table-8", "smoke", data=([], []), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_pycocotools_nothing_is_trained_that_could_not_be_measured(monkeypatch, tmp_path):
    from reskeras.tasks.detection import coco_precision

    monkeypatch.setattr(coco_precision, "has_pycocotools", lambda: False)
    with pytest.raises(ReskerasError, match=r"measures: coco_map50 needs pycocotools.*reskeras\[detect\]"):
        reskeras.reproduce("v1-table-8", "smoke", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    [ready] = [each for each in all_prepared("smoke") if each.name == "v1-table-8"]
    result = measured(ready, pytest.fail, tmp_path, lambda note: None)  # of all suites, those that can be are run
    assert [row.row for row in result.failed] == ["ResNet-101"] and "pycocotools" in result.failed[0].error


def test_suites_of_detectors_are_listed_as_such():
    lines = {line.split()[0]: line for line in ask("suites").stdout.splitlines() if line}
    assert "detectors" in lines["v1-table-9"] and "classifiers" in lines["v1-table-6"]
    shown = ask("suites", "v1-table-9").stdout
    assert "published only" in shown and "resnet-101, changed" in shown and "VGG networks have none" in shown
