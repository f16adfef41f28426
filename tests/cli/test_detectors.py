"""Detectors before training: help, what `detect show` and `data` say of them and of annotated images, the schema."""

import json
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import yaml
from PIL import Image

from reskeras_cli.detect import COMMANDS
from tests.cli.running import printed, refused
from tests.cli.test_help import PROBE
from tests.tasks.detection.shapes import DETECTOR


class TestHelp:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_ends_with_an_example(self, name):
        *_, heading, example = printed("detect", name, "--help").partition("Example")
        assert heading
        assert f"reskeras detect {name}" in example

    def test_the_groups_help_names_every_command(self):
        text = printed("detect", "--help")
        assert text == printed("detect")
        for name, entry in COMMANDS.items():
            assert f"  {name} " in text
            assert entry.help in text

    def test_the_groups_help_imports_none(self):
        code = (
            "import sys\nfrom reskeras_cli.main import commands\nfrom reskeras_cli.detect import COMMANDS\n"
            "try: commands.main(['detect', '--help'])\nexcept SystemExit: pass\n"
            "print([each.module for each in COMMANDS.values() if 'reskeras_cli' + each.module in sys.modules])"
        )
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert answer.splitlines()[-1] == "[]"

    @pytest.mark.parametrize("arguments", [["train"], ["evaluate"], ["predict"], ["export"]])
    def test_help_imports_no_tensorflow(self, arguments):
        words = [sys.executable, "-c", PROBE, "detect", *arguments, "--help"]
        answer = subprocess.run(words, capture_output=True, text=True, check=False)
        assert answer.stdout.splitlines()[-1] == "LOADED []"


class TestShow:
    def test_it_says_what_was_understood_and_what_it_costs(self):
        text = " ".join(printed("detect", "show", "resnet-50", "--input-shape", "600x800x3", "--classes", 20).split())
        for part in (
            "resnet-50-detector depth 50: imagenet, bottleneck units 3, 4, 6, 3",
            "canvas 600x800x3",
            "shared stage3 feature map of 38x50x1024 with stride 16, computed once per image",
            "anchors 12 per cell sizes 75, 150, 300, 525 x ratios 0.5, 1, 2; 22,800 in total",
            "classes 20 plus background",
            "stage4 7x7x2048 [1x1, 512; 3x3, 512; 1x1, 2048] x 3",
            "logits 21 dense, 21",
        ):
            assert part in text

    def test_json_adds_up_over_what_is_computed_several_times(self):
        setting = ["--set", "regions.context=true", "--set", "proposals.testing=50"]
        data = json.loads(printed("detect", "show", "resnet-18", *setting, "--json"))
        times = {part["name"]: part["times"] for part in data["stages"]}
        assert (times["stage3"], times["rpn"], times["stage4"], times["logits"]) == (1, 1, 51, 50)
        assert data["total"]["multiply_adds"] == sum(part["multiply_adds"] * part["times"] for part in data["stages"])
        assert data["total"]["parameters"] == sum(part["parameters"] for part in data["stages"])

    def test_yaml_is_a_detector_again(self, tmp_path):
        flags = ["resnet-18", "--order", "full_preact", "--set", "anchors.sizes=[16, 32]", "--set", "bn.momentum=0.99"]
        sparse = printed("detect", "show", *flags, "--yaml")
        assert yaml.safe_load(sparse) == {
            "backbone": {"depth": 18, "order": "full_preact", "bn": {"momentum": 0.99}},
            "anchors": {"sizes": [16, 32]},
        }
        (tmp_path / "mine.yaml").write_text(sparse)
        assert printed("detect", "show", tmp_path / "mine.yaml", "--resolved") == printed(
            "detect", "show", *flags, "--resolved"
        )

    def test_anchors_are_held_against_data(self, detector_files):
        source = f"voc:{detector_files / 'shapes'}"
        shown = printed("detect", "show", detector_files / "detector.yaml", "--data", source)
        assert "classes             2  plus background" in shown
        objects = int(re.search(r"(?m)^all +(\d+) ", shown)[1])
        listed = (detector_files / "shapes" / "ImageSets" / "Main" / "trainval.txt").read_text().split()
        found = [ElementTree.parse(detector_files / "shapes" / "Annotations" / f"{name}.xml") for name in listed]
        assert objects == sum(len(each.findall("object")) for each in found)
        words = ["detect", "show", detector_files / "detector.yaml", "--data", source, "--json"]
        fitting, huge = (
            json.loads(printed(*words, *changes))["data"] for changes in ([], ["--set", "anchors.sizes=[48]"])
        )
        assert fitting["shares"][0] > 0.9
        assert huge["shares"][0] < 0.2
        assert {each["name"] for each in fitting["classes"]} == {"disc", "square"}

    def test_a_batch_is_drawn_as_a_training_has_it(self, detector_files, tmp_path):
        (tmp_path / "mine.yaml").write_text("{batch_size: 5, augment: {mosaic: {}, rotate: 90}}")
        words = ["detect", "show", detector_files / "detector.yaml", "--batch", tmp_path / "batch.png"]
        data = ["--data", f"voc:{detector_files / 'shapes'}"]
        assert f"drawn  {tmp_path / 'batch.png'}" in printed(*words, *data, "--recipe", tmp_path / "mine.yaml")
        with Image.open(tmp_path / "batch.png") as picture:
            assert picture.format == "PNG" and picture.width > 3 * 400 and picture.height > 2 * 300
        assert json.loads(printed(*words, *data, "--json"))["batch"] == str(tmp_path / "batch.png")

    @pytest.mark.parametrize(
        ("recipe", "why"),
        [
            ("{label_smoothing: 0.1}", "label_smoothing: 0.1 is only for classifiers"),
            ("{class_weights: {cat: 2}}", "class_weights: 'cat' is not one of disc, square"),
            ("{normalise: per_pixel_mean}", "normalise: 'per_pixel_mean' is only for images of one size"),
            ("{freeze: stage9}", "freeze: 'stage9' is not one of"),
            ("{schedule: {kind: steps, warmup_until: {error: 0.8, rate: 0.01}}}", "warmup_until: needs a classifier"),
        ],
    )
    def test_a_batch_of_a_recipe_that_training_refuses_is_refused_in_the_same_words(
        self, detector_files, tmp_path, recipe, why
    ):
        (tmp_path / "mine.yaml").write_text(recipe)
        words = [detector_files / "detector.yaml", "--data", f"voc:{detector_files / 'shapes'}"]
        words += ["--recipe", tmp_path / "mine.yaml"]
        told = refused("detect", "show", *words, "--batch", tmp_path / "batch.png")
        assert why in told and told == refused("detect", "train", *words, "--out", tmp_path / "run")
        assert [each.name for each in tmp_path.iterdir()] == ["mine.yaml"]

    @pytest.mark.parametrize(
        ("flags", "told"),
        [
            (["--batch", "b.png"], "--batch: draws images of --data; give --data SOURCE too"),
            (["--recipe", "detector"], "--recipe: only for the picture of a batch; give --batch FILE.png too"),
            (["--batch", "b.png", "--data", "x", "--yaml"], "--batch: contradicts --yaml"),
            (["--batch", "b.jpg", "--data", "x"], "--batch: b.jpg: should end in .png"),
        ],
    )
    def test_flags_of_a_batch_that_lack_another_are_refused(self, flags, told):
        assert told in refused("detect", "show", "resnet-18", *flags)


class TestData:
    def test_a_source_of_objects_is_counted(self, detector_files):
        shown = printed("data", f"voc:{detector_files / 'shapes'}")
        lines = [" ".join(line.split()) for line in shown.splitlines()]
        assert "training 16 images, 0 of them without objects" in lines
        assert "test 6 the list test.txt; 0 without objects" in lines
        assert any(line.startswith("size 48x64 height x width") for line in lines)
        found = json.loads(printed("data", f"voc:{detector_files / 'shapes'}", "--input-shape", "96x128", "--json"))
        assert found["anchors"]["canvas"] == [96, 128]
        every = found["every"]
        assert (
            f"objects {every['train']} to detect in training, at most {found['most']} per image; "
            f"{every['test']} in test"
        ) in lines
        assert every["train"] == sum(each["train"] for each in found["classes"])

    def test_a_sheet_of_annotated_images_is_drawn(self, detector_files, tmp_path):
        shown = printed("data", f"voc:{detector_files / 'shapes'}", "--sheet", tmp_path / "sheet.png")
        assert shown.splitlines()[-1] == f"drawn  {tmp_path / 'sheet.png'}"
        with Image.open(tmp_path / "sheet.png") as sheet:
            assert sheet.format == "PNG"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["voc:nowhere"], "folder not found: nowhere"),
            (["voc:"], "'voc:' is not one of"),
            (["voc:nowhere", "--recipe", "quik"], "did you mean quick"),
        ],
    )
    def test_wrong_requests_are_refused(self, arguments, said):
        assert said in refused("data", *arguments)


def test_the_schema_of_detectors_is_that_of_their_files():
    schema = json.loads(printed("schema", "detector"))
    assert set(DETECTOR) <= set(schema["properties"])
    assert schema["required"] == ["backbone"]


def test_the_launcher_knows_training_of_detectors():
    from reskeras_cli.launch import worker_arguments

    assert worker_arguments(("detect", "train", "x"), resume=True) == [
        "detect",
        "train",
        "--strategy",
        "multi-worker",
        "--resume",
        "x",
    ]
