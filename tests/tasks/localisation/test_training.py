"""The training of a localiser through everything that a task goes through: resumed, begun, judged, shown, refused."""

import json

import numpy as np
import pytest
from huggingface_hub import ModelCard

import reskeras
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read
from reskeras.tasks.localisation.rule import top, wrong
from reskeras.tasks.localisation.views import LocaliserViews
from tests.cli.running import printed, refused
from tests.tasks.detection.shapes import shapes_folder
from tests.tasks.localisation.shapes import SHORT, SPEC, train
from tests.training.test_resume import Failing, stopping_at


def test_it_learns_where_squares_and_discs_are(run):
    rows, found = run.folder.metrics(), run.evaluate()
    assert found.error < 0.5 < found.overlap and found.error < min(found.centre, found.mean)
    assert rows[-1]["val_localised"] > rows[0]["val_localised"] and rows[-1]["loss"] < 0.4 * rows[0]["loss"]
    assert rows[-1]["val_localised"] == pytest.approx(1 - found.error)  # nothing is held out: the last epoch counts
    opened = reskeras.Run(run.path)
    assert type(opened).__name__ == "LocaliserRun" and opened.plan.spec.classes == 2


def test_an_interrupted_training_goes_on_to_the_same_weights(data, tmp_path):
    whole = train(data, out=tmp_path / "whole", **SHORT)
    with pytest.raises(Failing):
        train(data, out=tmp_path / "run", callbacks=[stopping_at(7)], **SHORT)
    resumed = train(data, out=tmp_path / "run", resume=True, **SHORT)
    digests = [each.folder.provenance()["trained_sha256"] for each in (whole, resumed)]
    assert digests[0] == digests[1]
    with pytest.raises(ReskerasError, match=r"holds another training: network\.sample 16 instead of 64"):
        train(data, {**SPEC, "sample": 16}, out=tmp_path / "run", resume=True, **SHORT)


def test_it_begins_with_a_classifiers_weights(data, classifier, tmp_path):
    run = train(data, out=tmp_path / "run", start=classifier.path, freeze="stage1", **SHORT)
    before, after = read(classifier.model()), read(run.model())
    kept = [name for name in before if name.startswith(("stem", "stage1")) and "moving" not in name]
    assert kept and all(np.array_equal(before[name], after[name]) for name in kept)
    assert not any(name.startswith("logits") for name in after)


def test_with_a_classifier_its_classes_count(run, classifier):
    found = run.evaluate(classifier=classifier)
    source = run.source()
    images, probabilities = source.test, []
    for index in range(images.count):
        path = run.path / f"image{index}.png"
        path.write_bytes(images.read(np.int64(index)).numpy())
        told = dict(classifier.predict(path, top=2)[0].top)
        probabilities.append([told[name] for name in source.classes])
        path.unlink()
    first = top(np.array(probabilities), 1)
    true = images.held(2)
    assert found.class1 == pytest.approx(wrong(true, first)) and found.top1 == pytest.approx(wrong(found.right, first))
    assert found.top1 >= found.class1 and found.top5 is None  # of two classes


@pytest.mark.slow
def test_the_commands_tell_what_python_tells(run, classifier, tmp_path):
    told = json.loads(printed("localise", "evaluate", run.path, "--classifier", classifier.path, "--json"))
    assert told == run.evaluate(classifier=classifier.path).as_dict()
    shown = printed("localise", "evaluate", run.path, "--dense", "40,56")
    found = run.evaluate(views=LocaliserViews((40, 56)))
    assert "dense, shorter sides 40, 56" in shown and f"{found.error:.2%}" in shown and "square" in shown
    assert "val_localised" in printed("report", run.path, "--out", tmp_path / "told.html")
    page = reskeras.write_report(run.path, out=tmp_path / "page.html").read_text()
    assert "error of the middle half" in page and f"{run.evaluate().error:.2%}" in page
    card = ModelCard.load(run.path / "README.md")
    figures = {each.metric_type: each for each in card.data.eval_results}
    low, high = figures["localization_error"].metric_args["interval"]
    assert figures["localization_error"].metric_value == run.evaluate().error and low <= run.evaluate().error <= high
    assert figures["mean_iou"].metric_value == run.evaluate().overlap and card.data.pipeline_tag == "object-detection"
    assert page.count("with its boxes drawn in") >= 8 and "Most confident mistakes" in page
    assert f"{run.path} is a localiser, not a classifier; see reskeras localise evaluate" in refused(
        "predict", run.path, tmp_path / "page.html"
    )


def test_scales_that_training_has_not_seen_are_told(run):
    told = []
    run.evaluate(views=LocaliserViews((40, 60)), tell=told.append)
    assert run.plan.spec.shorter == 46
    assert [note for note in told if note.startswith("dense: 60: ")] and "a shorter side of 46 pixels" in told[0]
    assert LocaliserViews((40, 52)).unseen(46, (1.0, 1.0)) == LocaliserViews((32, 76)).unseen(46, (0.75, 1.5)) == ""
    assert "46 pixels" in LocaliserViews((39, 54)).unseen(46, (1.0, 1.0))
    assert "of 34 to 69 pixels" in LocaliserViews((20,)).unseen(46, (0.75, 1.5))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--dense", "64,56"), "dense: 64,56: should be increasing"),
        (("--dense", "many"), "dense: 'many'"),
        (("--classifier", "nowhere"), "nowhere"),
    ],
)
def test_wrong_requests_are_told(run, words, why):
    assert why in refused("localise", "evaluate", run.path, *words)


def test_classes_that_differ_and_images_without_objects_are_refused(run, trained, data, tmp_path):
    with pytest.raises(
        ReskerasError, match=r"classifier: .* has different classes from .*: it lacks disc, square and adds"
    ):
        run.evaluate(classifier=trained.path)
    folder = shapes_folder(tmp_path / "voc", train=4, test=2)
    [first, *_] = sorted((folder / "Annotations").iterdir())
    text = first.read_text()
    first.write_text(text[: text.index("<object>")] + text[text.rindex("</object>") + len("</object>") :])
    with pytest.raises(
        ReskerasError, match=r"data: 1 of the 4 training images of .* hold no object; a localiser needs"
    ):
        train(f"voc:{folder}", out=tmp_path / "run", **SHORT)
    assert not (tmp_path / "run").exists()
