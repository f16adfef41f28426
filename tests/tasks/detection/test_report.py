"""The page of detectors: everything in it, its figures those that were measured, its pictures those of the images."""

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import PurePath

import numpy as np
import pytest
from click.testing import CliRunner
from huggingface_hub import ModelCard
from PIL import Image

import reskeras
from reskeras.errors import ReskerasError
from reskeras.export.proof import Proof
from reskeras.export.proofs_file import write_proofs
from reskeras.report.curves import draw_losses, losses_in_words
from reskeras.tasks.detection.detection_evaluation import judged
from reskeras.tasks.detection.gains_plot import draw_gains, gains_in_words
from reskeras.tasks.detection.mistakes import mistakes
from reskeras.tasks.detection.model import LOSSES
from reskeras.tasks.detection.page import page_of_detectors
from reskeras.tasks.detection.pictures import Pictures
from reskeras.tasks.detection.recall import Proposed
from reskeras_cli.main import commands
from tests.browser import violations
from tests.report.reading import parsed_page
from tests.tasks.detection.scenes import drawn


@pytest.fixture(scope="module")
def known(detector_run):
    """What a page tells of the run."""
    return detector_run.material()


@pytest.fixture(scope="module")
def pages(detector_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    one, other = (reskeras.DetectorRun(shutil.copytree(detector_run.path, folder / name)) for name in ("one", "other"))
    write_proofs(one.folder.export_folder, [Proof("serving", "one/1", 1234, 6, 1e-5, 1e-3, 1.0, 0.9, 0.9)])
    return {"one": reskeras.write_report(one), "two": reskeras.write_report(one, other, out=folder / "two.html")}


def titles(path):
    return re.findall(r"<h2[^>]*>(.*?)</h2>", path.read_text(encoding="utf-8"))


def test_a_page_of_one_has_everything_in_order(pages, detector_run):
    shown = [title for title in titles(pages["one"]) if title != "Images by what went wrong"]  # if anything did
    assert shown[:10] == [
        "Summary",
        "Precision by class",
        "Precision and recall",
        "Losses",
        "First training batch",
        "Recall of the proposals",
        "Gain by kind of mistake",
        "Mistakes",
        "Confusion matrix",
        "Examples",
    ]
    backbone = [title for title in titles(pages["one"]) if title.startswith("Backbone ")]
    assert titles(pages["one"])[-4:] == ["Parts", *backbone, "Exports", "Provenance"]
    assert pages["one"].parent.name == "one"


@pytest.mark.parametrize("which", ["one", "two"])
def test_a_page_is_well_formed_and_needs_nothing_from_outside(pages, which):
    text = pages[which].read_text(encoding="utf-8")
    parsed_page(text)
    assert len(text) < 4_000_000


def table(page, title):
    """A table's rows by its columns."""
    found = next(section for section in page.sections if section.title == title)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_the_figures_are_those_of_the_evaluation(known, detector_run):
    page, found = page_of_detectors([known]), detector_run.evaluate()
    summary = table(page, "Summary")[0]
    assert summary["mAP at 0.5"] == f"{found.voc.map_area:.2%}"
    assert summary["11-point mAP"] == f"{found.voc.map_eleven:.2%}"
    assert summary["canvas"] == "48x64"
    assert summary["images"] == "6"
    assert summary["epochs"] == str(len(detector_run.folder.metrics()))
    model = detector_run.model()
    assert summary["parameters"] == f"{sum(int(np.prod(each.shape)) for each in model.trainable_weights):,}"
    for row, each in zip(table(page, "Precision by class"), found.voc.classes, strict=True):
        assert (row["class"], row["objects"], row["AP at 0.5"]) == (each.name, str(each.objects), f"{each.area:.2%}")
    for row, (count, recall) in zip(table(page, "Recall of the proposals"), found.recall.items(), strict=True):
        assert (row["proposals"], row["recall at 0.5"]) == (f"{count:,}", f"{recall.share:.2%}")
    for row, each in zip(table(page, "Mistakes"), found.mistakes.table, strict=True):
        assert [row[column] for column in ("mistake", "count", "mAP if fixed")] == [
            each.name,
            str(each.count),
            f"{each.mended:.2%}",
        ]


def test_the_matrix_and_the_ranks_are_those_of_the_evaluation(known):
    """Of a detector that misses the objects of every second image, and sees the others in the wrong class."""
    found = known.evaluation.detections
    worse = replace(found, labels=1 - found.labels).part(found.image % 2 == 0)
    proposals = [Proposed(np.zeros((0, 4), np.float32), np.zeros(0, np.int32))] * known.test.count
    spoilt = judged(worse, proposals, known.test, known.classes, "shapes", "single scale", 1, 1)
    page = page_of_detectors([replace(known, evaluation=spoilt)])
    [matrix] = [each for each in page.sections if each.title == "Confusion matrix"]
    true, taken, count = spoilt.confusion.most_confused()[0]
    assert f"most common mistakes: {true} as {taken}: {count}" in matrix.image.alt
    assert "a probability of 0.5 or more" in matrix.image.caption and "an IoU of 0.5 or more" in matrix.image.caption
    rows = table(page, "Images by what went wrong")
    assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1))
    sums = [int(row["mistakes"]) for row in rows]
    assert sums == sorted(sums, reverse=True) and len(rows) == known.test.count
    for row in rows:
        image = [PurePath(str(name)).name for name in known.test.ids].index(row["image"])
        wanted = int((~known.test.ignored[known.test.starts[image] : known.test.starts[image + 1]]).sum())
        assert int(row["missed"]) == wanted  # none is found in its class
        assert (row["confused"] == "") == (image % 2 == 1)
    [gallery] = [each for each in page.sections if each.title == "Images with the most mistakes"]
    assert [image.caption.partition(":")[0] for image in gallery.images] == [row["image"] for row in rows]


def test_parts_add_up(known):
    rows = table(page_of_detectors([known]), "Parts")
    assert sum(int(row["parameters"].replace(",", "")) for row in rows) == known.plan.parameters
    total = sum(int(row["multiply-adds"].replace(",", "")) * int(row["times"].replace(",", "")) for row in rows)
    assert total == known.plan.multiply_adds
    assert sum(float(row["share"].rstrip("%")) for row in rows) == pytest.approx(100, abs=0.5)


def test_several_are_beside_each_other_and_equal_networks_once(pages):
    told = titles(pages["two"])
    assert told.count("Losses") == told.count("Gain by kind of mistake") == 1
    assert sum(title.startswith("Precision and recall, ") for title in told) == 2
    assert sum(title.startswith("Examples, ") for title in told) == 2
    assert sum(title.startswith(("Backbone ", "Parts")) for title in told) == 2
    assert sum(title.startswith("Provenance, ") for title in told) == 2


def pictures_of(gallery):
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(each.source.partition(",")[2])))) for each in gallery.images
    ]


def test_examples_show_the_test_images_and_say_what_was_found(known):
    gallery = Pictures(known.test, known.evaluation, known.classes).examples()
    assert len(gallery.images) == 6
    found = known.evaluation.detections
    for index, (image, pixels) in enumerate(zip(gallery.images, pictures_of(gallery), strict=True)):
        height, width = known.test.sizes[index]
        assert pixels.shape[0] / pixels.shape[1] == pytest.approx(height / width, rel=0.02)
        told = re.fullmatch(r"(\S+): (\d+) of (\d+) objects? found, (\d+) false", image.caption)
        assert told[1] == known.test.ids[index]
        one = known.test.part("one", np.array([index]))
        sure = found.part((found.image == index) & (found.scores >= 0.5))
        sure.image[:] = 0
        judged = mistakes(sure, one, known.classes)
        assert [int(each) for each in told.groups()[1:]] == [
            judged.found.sum(),
            one.boxes.shape[0],
            len(sure.scores) - judged.found.sum(),
        ]


def test_mistakes_and_lost_objects_are_pictured_the_worst_first(known):
    pictures = Pictures(known.test, known.evaluation, known.classes)
    judged = known.evaluation.mistakes
    wrong = np.flatnonzero(~np.isin(judged.kinds, ["correct", "ignored"]))
    gallery = pictures.surest_mistakes()
    assert len(gallery.images) == min(len(wrong), 12) > 0
    shown = [int(re.search(r"\((\d+)%\)", image.caption)[1]) for image in gallery.images]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == round(100 * judged.detections.scores[wrong].max())
    assert all(max(pixels.shape) == 320 for pixels in pictures_of(gallery))


def test_objects_that_nothing_finds_are_pictured(known, detector_run):
    """With all detections gone every object is lost."""
    none = known.evaluation.detections.part(np.zeros(0, int))
    proposals = [Proposed(np.zeros((0, 4), np.float32), np.zeros(0, np.int32))] * known.test.count
    empty = judged(none, proposals, known.test, known.classes, "shapes", "single scale", 32, 200)
    pictures = Pictures(known.test, empty, known.classes)
    assert pictures.surest_mistakes() is None
    gallery = pictures.never_found()
    assert len(gallery.images) == min(len(known.test.labels), 12)
    assert all("not proposed" in image.caption for image in gallery.images)
    page = page_of_detectors([replace(known, evaluation=empty)])
    assert "Most confident mistakes" not in [section.title for section in page.sections]


def test_mistakes_are_pictured_where_there_is_nothing_to_find(known):
    test = replace(
        known.test,
        starts=np.zeros_like(known.test.starts),
        **{name: getattr(known.test, name)[:0] for name in ("boxes", "labels", "ignored", "crowd")},
    )
    proposals = [Proposed(np.zeros((0, 4), np.float32), np.zeros(0, np.int32))] * test.count
    found = judged(known.evaluation.detections, proposals, test, known.classes, "shapes", "single scale", 32, 200)
    pictures = Pictures(test, found, known.classes)
    assert all(" is background" in image.caption for image in pictures.surest_mistakes().images)
    assert pictures.never_found() is None


def test_losses_are_drawn_as_they_were_logged(detector_run):
    rows = detector_run.folder.metrics()
    figure = draw_losses({"a": rows, "b": rows[:3]}, LOSSES)
    *drawn_, precision = [axis for axis in figure.axes if axis.lines]
    shown = [100 * row["val_average_precision"] for row in rows]
    np.testing.assert_allclose(precision.lines[1].get_ydata(), shown)
    for axis, name in zip(drawn_, ("loss", *LOSSES), strict=True):
        thin, bold, other, _ = axis.lines
        np.testing.assert_allclose(thin.get_ydata(), [row[name] for row in rows])
        np.testing.assert_allclose(bold.get_ydata(), [row[f"val_{name}"] for row in rows])
        assert len(other.get_xdata()) == 3
        assert thin.get_linewidth() < bold.get_linewidth()
    assert f"a ends after {len(rows)} epochs" in losses_in_words({"a": rows})
    earlier = [{name: value for name, value in row.items() if "precision" not in name} for row in rows]
    assert len([axis for axis in draw_losses({"a": earlier}, LOSSES).axes if axis.lines]) == 1 + len(LOSSES)


def test_gains_are_drawn_as_they_were_measured():
    found = {
        name: mistakes(*reversed(drawn(np.random.default_rng(seed), 4, images=20)), tuple("abcd"))
        for seed, name in enumerate(("one", "two"))
    }
    figure = draw_gains(found)
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == [each.name for each in found["one"].table]
    for bars, each in zip(axis.containers, found.values(), strict=True):
        np.testing.assert_allclose(
            [bar.get_width() for bar in bars], [100 * (kind.mended - each.map_area) for kind in each.table]
        )
    assert "one: localisation" in gains_in_words(found)


def test_a_run_without_its_images_says_so(copied_detector):
    path = copied_detector.path / "provenance.json"
    facts = json.loads(path.read_text())
    facts["data"]["name"] = "voc:/nowhere/at/all"
    path.write_text(json.dumps(facts))
    text = reskeras.write_report(copied_detector).read_text(encoding="utf-8")
    assert "no precision (data: " in text and "/nowhere/at/all" in text
    assert ">Losses</h2>" in text and ">Parts</h2>" in text
    assert "Examples" not in text


def test_its_card_has_average_precision_with_an_interval_and_by_class(pages, known):
    card, voc = ModelCard.load(pages["one"].parent / "README.md"), known.evaluation.voc
    figures = {each.metric_type: each for each in card.data.eval_results}
    assert figures["map_50"].metric_value == voc.map_area and figures["map"].metric_value == known.evaluation.coco.map
    low, high = figures["map_50"].metric_args["interval"]
    assert low <= voc.map_area <= high and card.data.pipeline_tag == "object-detection"
    for each in voc.classes:
        assert f"| {each.name} | {each.objects} | {each.area:.2%} |" in card.text
    assert "### Parts" in card.text and "### Stages" in card.text and "reskeras detect predict . image.jpg" in card.text


def test_an_image_that_is_gone_is_named(known):
    import tensorflow as tf

    gone = replace(known.test, read=lambda index: tf.io.read_file("/nowhere/gone.png"))
    with pytest.raises(ReskerasError, match=r"gone\.png") as failed:
        Pictures(gone, known.evaluation, known.classes).examples()
    assert failed.value.status == 1


def test_detectors_and_classifiers_are_not_mixed(detector_run, trained, tmp_path):
    for runs in ((detector_run, trained), (trained.path, detector_run.path)):
        with pytest.raises(ReskerasError, match="make a report of each") as refused:
            reskeras.write_report(*runs, out=tmp_path / "page.html")
        assert refused.value.status == 2
        assert str(detector_run.path) in str(refused.value)
    assert not (tmp_path / "page.html").exists()


def test_the_command_prints_and_writes(copied_detector):
    done = CliRunner().invoke(commands, ["report", str(copied_detector.path)])
    assert done.exit_code == 0, done.output
    assert f"reskeras detect export {copied_detector.path}" in done.stdout
    assert "val_loss" in done.stdout
    assert (copied_detector.path / "report.html").is_file()
    told = json.loads(CliRunner().invoke(commands, ["report", str(copied_detector.path), "--json"]).stdout)
    assert len(told["metrics"]) == len(copied_detector.folder.metrics())


@pytest.mark.parametrize("width", [1280, 390])
def test_every_picture_is_there_and_nothing_is_wider_than_the_screen(pages, chromium, width):
    driver = chromium(width)
    driver.get(pages["one"].as_uri())
    assert driver.get_log("browser") == []
    sizes = driver.execute_script("return [...document.images].map(each => each.complete && each.naturalWidth)")
    assert len(sizes) > 10 and all(sizes)
    assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    shown = driver.execute_script("return document.querySelector('.photographs img').getBoundingClientRect().width")
    assert shown == pytest.approx(330, abs=1)
    assert violations(driver) == []
