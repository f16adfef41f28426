"""Model cards: read by huggingface_hub, inert whatever names are, bounded, never written over an edited one."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner
from huggingface_hub import EvalResult, ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index

import reskeras
from reskeras.documents.document import parse_yaml
from reskeras.errors import ReskerasError
from reskeras.evaluation.intervals import wilson
from reskeras.printable import printable
from reskeras.recipes.recipe import Recipe
from reskeras.report.card import card_text, front_matter
from reskeras.report.card_file import is_replaceable, sealed, write_card
from reskeras.report.card_results import MOST_CLASSES, CardResults, Figure
from reskeras.report.hub import dataset_id, model_id
from reskeras.report.markdown import LONGEST
from reskeras.report.public import published
from reskeras_cli.main import commands
from tests.report.cards import HOSTILE, body, card, cells, tokens


@pytest.fixture
def alone(monkeypatch):
    """No network."""

    def refuse(*asked):
        raise AssertionError(f"asks the network for {asked}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def reported(trained, tmp_path_factory):
    """A run with exports and a report, made after each other, and what the commands printed."""
    run = reskeras.Run(shutil.copytree(trained.path, tmp_path_factory.mktemp("cards") / "tiny"))
    told = [CliRunner().invoke(commands, ["report", str(run.path)])]
    told.append(CliRunner().invoke(commands, ["export", str(run.path), "--to", "serving", "--to", "tflite"]))
    assert [each.exit_code for each in told] == [0, 0], [each.output for each in told]
    return run, [each.stdout for each in told]


@pytest.mark.parametrize("folder", ["", "export"])
def test_huggingface_hub_reads_it_and_writes_the_same(reported, alone, folder):
    run, _ = reported
    read = ModelCard.load(run.path / folder / "README.md")
    known, data = run.evaluate(), read.data
    assert (data.library_name, data.pipeline_tag, data.datasets) == ("reskeras", "image-classification", ["digits"])
    assert data.model_name == run.name and set(data.metrics) == {each.metric_type for each in data.eval_results}
    accuracy = next(each for each in data.eval_results if each.metric_type == "accuracy")
    assert isinstance(accuracy, EvalResult)
    assert (accuracy.metric_value, accuracy.dataset_name, accuracy.dataset_split) == (known.top1, "digits", "test")
    assert accuracy.metric_args["interval"] == list(wilson(int(known.right.sum()), known.images))
    written = yaml.safe_load((run.path / folder / "README.md").read_text().split("---\n")[1])
    assert eval_results_to_model_index(data.model_name, data.eval_results) != []
    assert data.to_dict() == written and ModelCard(str(read)).data.to_dict() == written
    assert parse_yaml(data.to_yaml(), "card")[0] == written


def test_it_says_what_a_reader_needs(reported):
    run, _ = reported
    text, found = (run.path / "README.md").read_text(), run.evaluate()
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    exports = ["Exports", "Speed of exports", "Exports in other precisions"]
    assert titles == ["Results", "Network", "Training", "Use", *exports, "Limits", "Provenance"]
    low, high = wilson(int(found.right.sum()), found.images)
    assert f"| top-1 accuracy | {found.top1:.2%} | {low:.2%} to {high:.2%} |" in text
    for name, images, accuracy in found.by_class():
        assert f"| {name} | {images} | {accuracy:.2%} |" in text
    assert f"{run.plan.complexity().parameters:,} parameters" in text
    assert "test set is small, 359 images" in text and run.folder.provenance()["versions"]["tensorflow"] in text
    assert "None here" not in text


def test_beside_artefacts_it_has_their_paths_and_versions_stay_alone(reported):
    run, told = reported
    text = (run.folder.export_folder / "README.md").read_text()
    assert f"'{run.name}/1'" in text and f"'{run.name}.tflite'" in text and "reskeras.Run" not in text
    assert f"'export/{run.name}/1'" in (run.path / "README.md").read_text()  # renewed by the export
    assert [path.name for path in (run.folder.export_folder / run.name).iterdir()] == ["1"]
    assert str(run.path / "README.md") in told[0] and str(run.folder.export_folder / "README.md") in told[1]


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["", "export"])
def test_its_python_runs_in_its_folder(reported, folder, tmp_path):
    from PIL import Image

    run, _ = reported
    place = shutil.copytree(run.path, tmp_path / "elsewhere") / folder
    Image.new("L", (20, 20), 200).save(place / "image.jpg")
    blocks = re.findall(r"```python\n(.*?)```", (place / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == (2 if folder else 3)
    path = os.pathsep.join(map(str, [os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])]))
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-c", block],
            cwd=place,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_what_is_in_yaml_and_markdown_from_outside_does_nothing():
    name = "\n---\n# x\n<b>"
    for hostile in HOSTILE:
        made = card(
            name=hostile,
            classes=[hostile, "plain"],
            described=hostile,
            pixels=hostile,
            missing=hostile,
            provenance={
                "made": hostile,
                "begun_from": hostile,
                "teacher": hostile,
                "git_revision": hostile,
                "versions": {"reskeras": hostile, hostile: hostile},
                "data": {"name": hostile, "label": hostile, "train": 1, "test": 1, "notes": [hostile, name]},
            },
            results=CardResults(
                hostile,
                hostile,
                3,
                hostile,
                (Figure(hostile, "accuracy", 0.5, None, hostile),),
                (hostile, "test images"),
                ((hostile, "1"),),
                notes=(hostile,),
            ),
        )
        text = card_text(made)
        assert not set(text) & {*map(chr, range(32)), "\u202e", "\u2066", "\u2028"} - {"\n"}
        text.encode()
        kinds = {token.type for token in tokens(text)}
        assert not kinds & {"link_open", "image", "html_block", "em_open", "strong_open", "s_open"}, hostile
        assert not kinds & {"blockquote_open", "hr", "code_block", "ordered_list_open"}, hostile
        assert {token.content for token in tokens(text) if token.type == "html_inline"} <= {"<code>", "</code>"}
        titles = [line for line in body(text).split("\n") if re.match(r"#{1,6} ", line)]
        assert [token.tag for token in tokens(text) if token.type == "heading_open"] == [
            "h" + str(len(line.split(" ")[0])) for line in titles
        ]
        assert len(titles) == 9 and ModelCard(text).data.library_name == "reskeras"
        assert ModelCard(text).data.eval_results[0].dataset_name in (printable(hostile)[:200], hostile.split("/")[-1])


def test_a_cell_shows_every_name_as_it_is():
    made = card(
        results=CardResults("d", "test", 3, "", (), ("class", "test images"), tuple((each, "1") for each in HOSTILE))
    )
    shown = cells(card_text(made))
    start = shown.index("class")
    for place, name in enumerate(HOSTILE):
        expected = printable(name)
        expected = expected if len(expected) <= LONGEST else expected[: LONGEST - 1] + "…"
        assert shown[start + 2 + 2 * place].strip() == expected.strip()


def test_a_card_of_many_classes_with_long_names_is_small():
    names = [f"{number} {'long name ' * 1000}" for number in range(5000)]
    found = CardResults("d", "test", 5000, "", (Figure("top-1 accuracy", "accuracy", 0.5),)).by_class(
        ("class", "test images", "accuracy"),
        [(name, "1", f"{place / 5000:.2%}") for place, name in enumerate(names)],
        [place / 5000 for place in range(5000)][::-1],
        [40] * 4000 + [3] * 1000,
    )
    text = card_text(card(classes=names, results=found, provenance={"data": {"name": "x", "notes": names}}))
    assert len(text) < 60_000
    assert len(found.rows) == MOST_CLASSES and found.rows[0][0] == names[-1]
    assert "and 4,950 more" in text and f"The {MOST_CLASSES} classes with the lowest figures, of 5,000." in text
    assert "1,000 of the 5,000 classes have fewer than 30 test images" in text


def test_no_place_of_the_machine_is_published():
    data = {"name": "folder:/home/somebody/my photos", "label": "my photos", "train": 90, "test": 40}
    made = card(
        provenance={
            "data": {**data, "place": "folder:/mnt/secret/my photos", "notes": ["/mnt/secret/my photos has x.jpg"]},
            "begun_from": "/home/somebody/runs/first",
            "command": ["/usr/local/bin/reskeras", "train"],
        },
        recipe=Recipe(teacher="/home/somebody/runs/large"),
        results=None,
        missing="data: folder not found: /home/somebody/my photos",
    )
    text = card_text(made)
    assert not [word for word in ("somebody", "secret", "/usr", "/home", "/mnt") if word in text]
    assert "my photos has" in text and "first" in text and "teacher: large" in text
    assert "datasets" not in front_matter(made)  # folder:my photos is no name that the hub takes


def test_paths_are_known_by_the_kind_of_their_data():
    def shown(**data):
        return published({"said": f"{data['name']} and 4/5.1 of x/y"}, data)["said"]

    assert shown(name="tfds:imagenet2012/5.1") == "tfds:imagenet2012/5.1 and 4/5.1 of x/y"
    assert shown(name="classes:voc:/home/a b/c d") == "classes:voc:c d and 4/5.1 of x/y"
    assert shown(name="folder:x/y") == "folder:y and 4/5.1 of y"
    assert shown(name="folder:s3://bucket/photos") == "folder:s3://bucket/photos and 4/5.1 of x/y"
    assert published("see /a/b/c.txt, https://x.org/a/b and ~/d/e", {}) == "see c.txt, https://x.org/a/b and ~/d/e"


def test_figures_that_are_not_finite_are_told_and_not_in_the_metadata():
    figures = (Figure("mAP", "map", float("nan")), Figure("loss", "loss", None), Figure("F1", "f1", 0.5))
    made = card(results=CardResults("d", "test", 3, "", figures))
    assert front_matter(made)["metrics"] == ["f1"]
    assert "| mAP | undefined |" in card_text(made) and "| loss | undefined |" in card_text(made)
    nothing = front_matter(card(results=CardResults("d", "test", 3, "", figures[:2])))
    assert not {"metrics", "model-index"} & set(nothing)


@pytest.mark.parametrize(
    "name,known",
    [
        ("cifar10", "uoft-cs/cifar10"),
        ("cifar10@1000", "uoft-cs/cifar10"),
        ("tfds:mnist", "ylecun/mnist"),
        ("tfds:imagenet2012/5.1", "ILSVRC/imagenet-1k"),
        ("digits", "digits"),
        ("folder:photos", ""),
        ("tfds:beans", ""),
        ("folder:mnist", ""),
        ("", ""),
    ],
)
def test_data_has_the_hubs_id_where_it_is_known_there(name, known):
    assert dataset_id(name) == known


def test_the_base_of_a_port_is_named_where_the_hub_has_it():
    def against(words):
        return {"ported": {"proof": {"against": words, "difference": 1e-6}}}

    assert model_id(against("timm 1.0.31's resnet18.a1_in1k")) == "timm/resnet18.a1_in1k"
    assert model_id(against("timm 1.0.31's resnet18")) == ""  # weights of any origin
    assert model_id(against("torchvision 0.29's resnet18")) == model_id(against(None)) == model_id({}) == ""
    ported = {**against("timm 1.0.31's resnet18.a1_in1k"), "made": "2026"}
    ported["ported"] |= {"source": "/tmp/x/resnet18.safetensors", "layout": "torchvision ResNet"}
    text = card_text(card(provenance=ported, recipe=None, results=None, base="timm/resnet18.a1_in1k"))
    assert ModelCard(text).data.base_model == "timm/resnet18.a1_in1k"
    assert "resnet18.safetensors" in text and "/tmp" not in text and "ported without data" in text


# -- files that somebody else wrote ------------------------------------------------------------------------------------


def test_a_card_is_replaced_until_somebody_edits_it(tmp_path):
    path = tmp_path / "README.md"
    assert write_card("---\na: 1\n---\n\n# one\n", path) and write_card("# two", path)
    assert path.read_text() == sealed("# two")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert write_card("# three", path)  # Git's line ends are no edit
    for edited in (path.read_text() + "more\n", path.read_text().replace("three", "3"), "# mine\n", ""):
        path.write_text(edited)
        assert not write_card("# four", path) and path.read_text() == edited


def test_what_is_no_file_is_left(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name in ("folder", "link", "pipe", "bytes"):
        assert not is_replaceable(tmp_path / name) and not write_card("# x", tmp_path / name)
    assert not (tmp_path / "nowhere").exists()


def test_commands_keep_a_readme_of_yours_and_say_so(copied):
    (copied.path / "README.md").write_text("# mine\n")
    told = CliRunner().invoke(commands, ["report", str(copied.path)])
    assert told.exit_code == 0 and "kept: it was written or edited" in told.stdout
    assert (copied.path / "README.md").read_text() == "# mine\n"
    exported = CliRunner().invoke(commands, ["export", str(copied.path), "--to", "tflite", "--no-timing"])
    assert exported.exit_code == 0 and "kept" not in exported.stdout
    assert (copied.path / "README.md").read_text() == "# mine\n"
    beside = copied.folder.export_folder / "README.md"
    assert f"{copied.evaluate().top1:.2%}" in beside.read_text()
    beside.write_text(beside.read_text() + "\nUse it for letters.\n")
    again = CliRunner().invoke(commands, ["export", str(copied.path), "--to", "tflite", "--no-timing"])
    assert again.exit_code == 0 and "kept" in again.stdout and "Use it for letters." in beside.read_text()


def test_python_tells_of_each_card_that_is_kept(copied):
    notes, beside = [], copied.folder.export_folder / "README.md"
    (copied.path / "README.md").write_text("# mine\n")
    reskeras.write_report(copied, tell=notes.append)
    kept = "is kept: it was written or edited by someone; move it away for a new one"
    assert notes == [f"{copied.path / 'README.md'} {kept}"]
    copied.export("tflite", timing=False)
    beside.write_text("# mine too\n")
    notes.clear()
    copied.export("tflite", timing=False, tell=notes.append)
    assert notes == ["tflite", f"{copied.path / 'README.md'} {kept}", f"{beside} {kept}"]
    assert beside.read_text() == "# mine too\n"


@pytest.mark.slow
def test_an_export_has_no_figures_that_are_of_another_model(copied, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # cards need nothing of it
    copied.export("tflite", timing=False)
    text = (copied.folder.export_folder / "README.md").read_text()
    assert "None here: the model was not tested" in text and "It has not been tested." not in text.split("## Limits")[0]
    assert not (copied.path / "README.md").exists()
    reskeras.write_report(copied, out=copied.path / "page.html")
    assert "None here" not in (copied.folder.export_folder / "README.md").read_text()
    copied.evaluate(recalibrate=200, save=True)
    copied.export("tflite", timing=False)
    for place in (copied.path, copied.folder.export_folder):
        assert "the model has changed since it was tested" in (place / "README.md").read_text()
    copied.folder.evaluation_file.write_text("{")
    copied.export("tflite", timing=False)
    assert "None here: the model was not tested" in (copied.path / "README.md").read_text()


def test_a_run_without_its_images_has_a_card_without_figures(copied):
    path = copied.path / "provenance.json"
    facts = json.loads(path.read_text())
    facts["data"]["name"] = "folder:/nowhere/at/all"
    path.write_text(json.dumps(facts))
    reskeras.write_report(copied)
    read = ModelCard.load(copied.path / "README.md")
    assert read.data.eval_results is None and "folder not found" in read.text and "/nowhere" not in read.text


def test_each_run_of_a_report_gets_its_card_and_json_writes_none(trained, tmp_path):
    runs = [shutil.copytree(trained.path, tmp_path / name) for name in ("one", "two")]
    for run in runs:
        (run / "README.md").unlink(missing_ok=True)
    told = CliRunner().invoke(commands, ["report", str(runs[0]), "--json"])
    assert told.exit_code == 0 and not (runs[0] / "README.md").exists()
    reskeras.write_report(*runs, out=tmp_path / "page.html")
    assert all(ModelCard.load(run / "README.md").data.eval_results for run in runs)


def test_a_rejected_artefact_is_in_the_card_as_such(copied):
    with pytest.raises(ReskerasError, match="rejected"):
        copied.export("tflite", "tflite-float16", tolerances={"tflite-float16": 0.0}, timing=False)
    text = (copied.folder.export_folder / "README.md").read_text()
    assert "| tflite-float16 | rejected |" in text and "| tflite | agrees |" in text
    assert f"'{copied.name}.tflite'" in text and "rejected/" not in text
