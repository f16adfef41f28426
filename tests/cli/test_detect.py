"""`reskeras detect train`, `evaluate`, `predict` and `export`: what they print, write and refuse."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from PIL import Image

from tests.cli.running import invoke, printed, refused


@pytest.fixture(scope="module")
def trained(trained_detector, tmp_path_factory):
    """What `detect train` printed, and a copy of the run that it made."""
    told = SimpleNamespace(**{name: (trained_detector / name).read_text() for name in ("stdout", "stderr")})
    return told, Path(shutil.copytree(trained_detector / "tiny", tmp_path_factory.mktemp("runs") / "run"))


class TestTrainAndUse:
    def test_train_tells_what_came_out(self, trained, trained_detector):
        told, run = trained[0], trained_detector / "tiny"
        assert told.stdout.startswith("cifar-variant-8-detector: depth 8: cifar, basic units 1, 1, 1")
        assert "epoch 20/20" in told.stderr
        assert re.search(r"(?m)^square +\d+ +\d+\.\d\d%", told.stdout)
        assert f"saved      {run}\nnext       reskeras detect export {run}\n" in told.stdout
        import reskeras

        recipe = reskeras.DetectorRun(run).folder.recipe()
        assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (20, 4, 0.05)

    def test_parameters_are_those_of_the_built_model(self, trained):
        import reskeras

        _, run = trained
        data = json.loads(printed("detect", "show", run, "--json"))
        model = reskeras.DetectorRun(run).model()
        assert data["total"]["parameters"] == sum(weight.shape.num_elements() for weight in model.trainable_weights)
        assert data["total"]["statistics"] == sum(weight.shape.num_elements() for weight in model.non_trainable_weights)

    def test_evaluate_says_the_same_to_people_and_programs(self, trained, tmp_path):
        _, run = trained
        shown = printed(
            "detect", "evaluate", run, "--curves", tmp_path / "curves.svg", "--pictures", tmp_path / "some.png"
        )
        assert "test split, single scale, float32" in shown
        found = json.loads(printed("detect", "evaluate", run, "--json"))
        assert re.search(r"(?m)^mAP +(\d+\.\d\d)%", shown)[1] == f"{100 * found['voc']['map_area']:.2f}"
        assert found["voc"]["map_area"] > 0.3
        assert found["objects"] == sum(each["objects"] for each in found["voc"]["classes"].values())
        assert re.search(r"(?m)^recall of 50 proposals .*; the detector uses 32$", shown)
        assert re.search(r"(?m)^recall of 300 proposals .*; there are at most 200$", shown)
        assert re.search(r"(?m)^background +\d+ +\d+ ", shown)
        assert Image.open(tmp_path / "some.png").width > 900
        assert ElementTree.parse(tmp_path / "curves.svg").getroot().tag.endswith("svg")

    def test_without_pycocotools_it_says_how_to_get_cocos_figures(self, trained, monkeypatch):
        monkeypatch.setattr("reskeras.tasks.detection.detection_evaluation.has_pycocotools", lambda: False)
        shown = printed("detect", "evaluate", trained[1])
        assert "pip install 'reskeras[detect]'" in shown
        assert "0.5 to 0.95  COCO" not in shown

    def test_it_looks_again_and_at_several_scales(self, trained):
        flags = ["--refine", "--scales", "1,1.5", "--canonical", 24, "--split", "train", "--json"]
        found = json.loads(printed("detect", "evaluate", trained[1], *flags))
        assert (found["split"], found["views"]) == ("train", "scales 1, 1.5, refined and voted")

    @pytest.mark.slow
    def test_an_ensemble_is_evaluated_and_predicts_like_a_detector(self, trained, detector_files):
        image, others = sorted((detector_files / "shapes" / "JPEGImages").iterdir())[-1], ["--with", trained[1]] * 2
        shown = printed("detect", "evaluate", trained[1], *others)
        assert "test split, ensemble of 3 detectors, single scale, float32" in shown
        assert re.search(r"(?m)^recall of 300 proposals .*; the detector uses 96$", shown)
        assert re.search(r"(?m)^recall of 1,000 proposals .*; there are at most 600$", shown)
        found = json.loads(printed("detect", "evaluate", trained[1], *others, "--json"))
        assert found["with"] == [str(trained[1])] * 2
        alone, together = (
            json.loads(printed("detect", "predict", trained[1], image, *flags, "--json")) for flags in ([], others)
        )
        names = [[each["name"] for each in one[0]["detections"]] for one in (alone, together)]
        assert names[0] == names[1] != []

    def test_predict_names_and_draws_objects(self, trained, detector_files, tmp_path):
        image = sorted((detector_files / "shapes" / "JPEGImages").iterdir())[-1]
        Image.new("RGB", (64, 48), (110, 110, 110)).save(tmp_path / "nothing.png")
        words = ["detect", "predict", trained[1], image, tmp_path / "nothing.png", "--score", 0.2]
        found = json.loads(printed(*words, "--json"))
        assert [each["path"] for each in found] == [str(image), str(tmp_path / "nothing.png")]
        assert {one["name"] for each in found for one in each["detections"]} <= {"disc", "square"}
        assert all(one["score"] >= 0.2 for each in found for one in each["detections"])
        shown = printed(*words, "--out", tmp_path / "found")
        assert "nothing.png" in shown
        assert shown.splitlines()[-1] == f"written    {tmp_path / 'found'}"
        assert {path.suffix for path in (tmp_path / "found").iterdir()} == {".png", ".json"}

    def test_export_proves_the_artefact(self, trained):
        [proof] = json.loads(printed("detect", "export", trained[1], "--no-timing", "--json"))
        assert proof["kind"] == "serving"
        assert proof["holds"]
        shown = printed("detect", "export", trained[1], "--to", "serving", "--tolerance", "serving=0.01", "--no-timing")
        assert "agrees" in shown
        assert "(max 1e-02)" in shown
        assert "tensorflow_model_server" in shown

    @pytest.mark.slow
    def test_a_detector_begins_from_another_of_other_classes(self, trained, detector_files, tmp_path):
        for file in (detector_files / "shapes").rglob("*"):
            target = tmp_path / "discs" / file.relative_to(detector_files / "shapes")
            if file.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            data = file.read_bytes()
            target.write_bytes(data.replace(b">square<", b">disc<") if file.suffix == ".xml" else data)
        told = invoke(
            "detect",
            "train",
            "--from",
            trained[1],
            "--data",
            f"voc:{tmp_path / 'discs'}",
            "--epochs",
            1,
            "--recipe",
            detector_files / "recipe.yaml",
            "--no-frozen-bn",
            "--out",
            tmp_path / "run",
            "--json",
        )
        assert told.exit_code == 0, told.output
        assert list(json.loads(told.stdout)["voc"]["classes"]) == ["disc"]
        assert f"from {trained[1]}" in told.stderr
        assert "batch norm frozen" not in told.stderr


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["shwo"], ["no such command 'detect shwo'", "did you mean detect show?"]),
            (["show"], ["depth: not set"]),
            (["show", "resnet-5o"], ["'resnet-5o'", "did you mean resnet-50?"]),
            (["show", "vgg-19"], ["backbone: vgg-19 has no stages"]),
            (["show", "resnet-18", "--set", "anchors.size=[3]"], ["did you mean sizes?"]),
            (
                ["show", "resnet-18", "--set", "backbone.depth=34", "--depth", "50"],
                ["--set backbone.depth=34", "--depth"],
            ),
            (["show", "resnet-18", "--set", "shared=stage9"], ["'stage9' is not one of"]),
            (
                ["show", "resnet-18", "--data", "folder:photos"],
                [
                    "folder:photos has images without boxes",
                    "annotated images are digits-boxes, digits-loc, voc:PATH, coco:PATH",
                ],
            ),
            (["train", "resnet-18"], ["missing option '--data'"]),
            (["train", "resnet-18", "--data", "voc:nowhere"], ["folder not found: nowhere"]),
            (["train", "resnet-18", "--data", "voc:x", "--epochs", "0"], ["epochs: 0"]),
            (["train", "resnet-18", "--data", "voc:x", "--recipe", "detektor"], ["did you mean detector?"]),
            (["train", "resnet-18", "--data", "voc:x", "--rate-factor", "stage1"], ["NAME=NUMBER"]),
            (["train", "--from", "nowhere", "--data", "voc:x"], ["run: folder not found: nowhere"]),
            (["evaluate", "nowhere"], ["folder not found: nowhere"]),
            (["evaluate", "nowhere", "--scales", "big"], ["scales: 'big'", "0.75,1,1.5"]),
            (["evaluate", "nowhere", "--curves", "curves.pdf"], [".png or .svg"]),
            (["evaluate", "nowhere", "--pictures", "some.svg"], ["--pictures: some.svg: should end in .png"]),
            (["evaluate", "nowhere", "--curves", "no-such-folder/curves.png"], ["cannot be written: folder not found"]),
            (["predict", "nowhere"], ["IMAGE..."]),
            (["export", "nowhere", "--tolerance", "serving"], ["NAME=NUMBER"]),
        ],
    )
    def test_a_wrong_request_is_refused_by_name(self, arguments, said, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        message = refused("detect", *arguments)
        for part in said:
            assert part in message
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize(
        "arguments",
        [
            ["show", "vgg-19"],
            ["train", "vgg-19", "--data", "voc:x"],
            ["train", "resnet-18", "--data", "voc:x", "--epochs", "0"],
            ["evaluate", "x", "--scales", "big"],
            ["evaluate", "x", "--curves", "curves.pdf"],
            ["export", "x", "--tolerance", "serving"],
        ],
    )
    def test_wrong_requests_fail_before_tensorflow_loads(self, arguments):
        code = (
            "import sys\nfrom reskeras_cli.main import main\nsys.argv = ['reskeras', 'detect', *sys.argv[1:]]\n"
            "try: main()\nexcept SystemExit as end: print(end.code, 'tensorflow' in sys.modules)"
        )
        answer = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        assert answer.stdout.split() == ["2", "False"]

    def test_what_the_run_does_not_know_is_refused(self, trained, detector_files, tmp_path):
        _, run = trained
        assert "scales" in refused("detect", "evaluate", run, "--scales", "2,1")
        assert "score: 2" in refused("detect", "predict", run, "x.png", "--score", 2)
        assert "x.png" in refused("detect", "predict", run, "x.png")
        assert "at most 8 in all" in refused("detect", "evaluate", run, *["--with", run] * 8)
        shutil.copytree(run, tmp_path / "other")
        (tmp_path / "other" / "classes.txt").write_text("disc\nstar\n")
        image = next((detector_files / "shapes" / "JPEGImages").iterdir())
        for words in (["evaluate", run], ["predict", run, image]):
            told = refused("detect", *words, "--with", tmp_path / "other")
            assert f"with: {tmp_path / 'other'} has different classes from {run}: it lacks square and adds star" in told
        url = ["--url", "http://localhost:1/v1/models/x", "x.png", "--with", run]
        assert "leave out --out, --score, --with" in refused("detect", "predict", *url)
        assert "to: 'coreml' is not one of serving" in refused("detect", "export", run, "--to", "coreml")
        words = [detector_files / "detector.yaml", "--data", f"voc:{detector_files / 'shapes'}", "--out", run]
        taken = refused("detect", "train", *words)
        assert "already exists" in taken

    def test_classes_that_contradict_the_data_are_refused(self, detector_files, tmp_path):
        flags = ["--data", f"voc:{detector_files / 'shapes'}", "--classes", 5, "--out", tmp_path / "run"]
        assert "classes: 5 contradicts" in invoke("detect", "train", detector_files / "detector.yaml", *flags).stderr
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("words", [["evaluate"], ["predict", "x.png"], ["export"], ["analyse"]])
    def test_commands_for_classifiers_name_those_for_detectors(self, trained, words):
        command, *rest = words
        message = refused(command, trained[1], *rest)
        assert "is a detector" in message
        assert "reskeras detect evaluate, predict and export" in message

    def test_commands_for_detectors_refuse_classifiers(self, tmp_path):
        flags = ["--family", "cifar", "--set", "stages=[1,1]", "--classes", 3, "--input-shape", "16x16x1"]
        printed("build", *flags, "--out", tmp_path / "built")
        for words in (["evaluate"], ["predict", "x.png"], ["export"]):
            command, *rest = words
            assert "is a classifier, not a detector" in refused("detect", command, tmp_path / "built", *rest)

    def test_annotated_images_are_not_for_classifiers(self):
        assert "which are for detectors" in invoke("train", "resnet-18", "--data", "voc:x").stderr
