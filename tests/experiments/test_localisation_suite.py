"""The suite of localisers: its published figures, the trainings that its rows share, and rows measured with several."""

import pytest

import reskeras
from reskeras.errors import ReskerasError
from reskeras.experiments.cost import cost
from reskeras.experiments.paper_differences import differences
from reskeras.experiments.reproduce import place_of, prepared
from reskeras.experiments.suite import ScaleSpec, read_suite
from reskeras.experiments.suite_rows import label_of, rows_of
from reskeras.tasks.localisation.run import LocaliserRun
from reskeras.tasks.localisation.views import LocaliserViews
from reskeras.tasks.refinement.run import RefinerRun

SUITE = "v1-table-13"
# of v1 table 13, by row: the error where the class is given, and the top-5 error with predicted classes
TABLE_13 = {
    "VGG-16, one crop": {"localisation_error": 33.1},
    "RPN, one crop": {"localisation_error": 13.3},
    "RPN, dense": {"localisation_error": 11.7},
    "RPN, dense, predicted classes": {"top5_localisation_error": 14.4},
    "RPN and R-CNN": {"top5_localisation_error": 10.6},
    "RPN and R-CNN, ensemble": {"top5_localisation_error": 8.9},
}
TABLE_14 = {"OverFeat": (30.0, 29.9), "GoogLeNet": (None, 26.7), "VGG": (26.9, 25.3), "ResNets": (8.9, 9.0)}
SCALES = ("paper", "budget", "short", "smoke")


def rows_at(scale):
    return {row.name: row for row in rows_of(read_suite(SUITE), scale)}


def test_published_figures_are_those_of_the_paper():
    rows = {row.row: row.published for row in read_suite(SUITE).rows if not row.ours}
    printed = {name: rows.pop(name)["top5_localisation_error"] for name in [*rows] if name not in TABLE_13}
    assert rows == TABLE_13
    for name, told in printed.items():
        validation, test = TABLE_14[name.partition(",")[0]]
        assert told == (f"{validation}, test {test}" if validation else f"test {test}")
    assert len(printed) == len(TABLE_14)


@pytest.mark.parametrize("scale", SCALES)
def test_rows_share_a_classifier_a_localiser_and_a_refiner(scale):
    rows = rows_at(scale)
    one = rows["RPN, one crop"]
    same = [name for name, row in rows.items() if label_of(row) == label_of(one)]
    assert same == [name for name in rows if "for all classes" not in name]
    judged, several = rows["RPN and R-CNN"], rows["RPN and R-CNN, ensemble"]
    for role in ("classifier", "refiner"):
        assert label_of(judged.beside[role]) == label_of(several.beside[role])
    assert label_of(rows["RPN, dense, predicted classes"].beside["classifier"]) == label_of(judged.beside["classifier"])
    assert label_of(one.start) == label_of(judged.beside["classifier"]) == label_of(judged.beside["refiner"].start)
    assert bool(one.beside or rows["RPN, dense"].beside) is False and bool(rows["RPN, dense"].views.dense)
    refiner = judged.beside["refiner"]
    assert label_of(refiner.teacher) == label_of(one) and refiner.teacher.identity in refiner.others
    assert [(each.task, seed) for each, seed in several.needed(4)] == [
        ("classification", 4), ("localisation", 4), ("classification", 4), ("refinement", 4),
        ("classification", 5), ("localisation", 5), ("refinement", 5),
    ]  # fmt: skip
    if scale == "paper":
        own = {name: differences(read_suite(SUITE), row) for name, row in rows.items()}
        assert {len(each) for name, each in own.items() if "ensemble" not in name} == {1}
        assert refiner.spec.decided().count == 200 and refiner.recipe.batch_size == one.recipe.batch_size == 256
        assert one.network.decided().stages == reskeras.catalog()["resnet-101"].spec.decided().stages


def test_its_cost_counts_each_training_once_and_the_regions_of_a_refiner(tmp_path):
    found = cost([prepared(SUITE, "short")], tmp_path)
    assert len(found.trainings) == found.left == 6  # two seeds of a classifier, a localiser and a refiner
    [refiner] = [row.beside["refiner"] for name, row in rows_at("short").items() if name == "RPN and R-CNN"]
    regions = 2000 * refiner.spec.regions * refiner.recipe.epochs
    expected = 3 * regions * refiner.plan.complexity().multiply_adds * (1 + 500 / 3 / 2000)
    assert sum(each.multiply_adds == pytest.approx(expected, rel=0.01) for each in found.trainings) == 2


def test_the_time_of_a_refiner_follows_from_that_of_its_localiser(tmp_path):
    ready = prepared(SUITE, "short", ["RPN and R-CNN"])
    [row] = ready.rows
    folder = place_of(row, 0, tmp_path)
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(f'{{"epoch": {epoch}, "seconds": 10}}\n' for epoch in (1, 2)))
    classifier, localiser, refiner = cost([ready], tmp_path).trainings
    assert classifier.seconds is None and localiser.seconds == pytest.approx(10 * (row.recipe.epochs - 2))
    assert refiner.seconds == pytest.approx(10 * row.recipe.epochs * refiner.multiply_adds / localiser.multiply_adds)


def test_what_a_scale_says_of_no_training_beside_is_refused(tmp_path):
    with pytest.raises(ValueError, match="start: should be classifier, and among those in beside"):
        ScaleSpec.model_validate({"start": "classifier"})
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"""\
title: Mine
source: nowhere
expects: Nothing.
protocol: {tmp_path / "how.yaml"}
measures: [localisation_error]
rows: [{{row: one, network: cifar-resnet-20, scales: {{smoke: {{evaluation: {{beside: [refiner]}}}}}}}}]
"""
    )
    scale = "{data: digits-loc, recipe: localiser}"
    (tmp_path / "how.yaml").write_text(
        "description: Mine\ntask: localisation\nimages: 10\nscales:\n"
        + "".join(f"  {name}: {scale}\n" for name in ("paper", "short", "smoke"))
    )
    with pytest.raises(ReskerasError, match=r"row one, scale smoke: evaluation\.beside: refiner is not in beside"):
        rows_of(read_suite(file), "smoke")
    file.write_text(file.read_text().replace("beside: [refiner]", "dense: [4]"))
    with pytest.raises(ReskerasError, match="dense: 4: should be between 8 and 4096 pixels"):
        read_suite(file)


@pytest.mark.slow
def test_a_row_is_measured_with_what_was_trained_beside_it(tmp_path):
    result = reskeras.reproduce(SUITE, "smoke", rows=["RPN and R-CNN"], out=tmp_path)
    assert not result.failed
    row, figures = rows_at("smoke")["RPN and R-CNN"], result.row("RPN and R-CNN").figures[0]
    place = {each.task: place_of(each, 0, tmp_path) for each, _ in row.needed(0)}
    run, refiner = LocaliserRun(place["localisation"]), RefinerRun(place["refinement"])
    assert refiner.folder.recipe().teacher == str(run.path)
    found = run.evaluate(views=LocaliserViews(row.views.dense), refiner=refiner, classifier=place["classification"])
    assert figures == {
        "localisation_error": found.error,
        "top1_localisation_error": found.top1,
        "top5_localisation_error": found.top5,
    }
    again = reskeras.reproduce(SUITE, "smoke", rows=["RPN, one crop", "RPN and R-CNN"], out=tmp_path)
    assert again.row("RPN and R-CNN").figures[0] == figures
    assert again.row("RPN, one crop").figures[0]["localisation_error"] == run.evaluate().error
