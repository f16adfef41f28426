"""The commands that make and use runs: what they print, write and refuse."""

import json
import os
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from tests.cli.running import invoke, refused

TINY = ["--family", "cifar", "--set", "stages=[1,1]", "--input-shape", "16x16x1"]


def test_train_prints_the_result_and_where_it_is(tmp_path):
    result = invoke("train", *TINY, "--epochs", 1, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "accuracy" in result.stdout
    assert f"saved      {tmp_path / 'run'}" in result.stdout
    assert "epoch 1/1" in result.stderr
    assert "\x1b" not in result.output
    assert "\r" not in result.output


def test_train_without_out_numbers_the_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        made = invoke("train", *TINY, "--epochs", 1)
        assert made.exit_code == 0, made.output
    assert sorted(os.listdir("saved_models")) == ["cifar-variant-6-digits", "cifar-variant-6-digits-2"]


def test_train_json_is_one_document_on_stdout(tmp_path):
    result = invoke("train", *TINY, "--epochs", 1, "--out", tmp_path / "run", "--json")
    assert json.loads(result.stdout)["run"] == str(tmp_path / "run")


def test_recipe_flags_reach_the_recipe(tmp_path):
    flags = ["--epochs", 1, "--batch-size", 50, "--learning-rate", 0.02, "--seed", 7, "--precision", "float32"]
    assert invoke("train", *TINY, *flags, "--recipe", "step-cifar", "--out", tmp_path / "run").exit_code == 0
    import reskeras

    recipe = reskeras.Run(tmp_path / "run").folder.recipe()
    assert (
        recipe.epochs,
        recipe.batch_size,
        recipe.learning_rate,
        recipe.seed,
        recipe.precision,
        recipe.normalise,
    ) == (1, 50, 0.02, 7, "float32", "per_pixel_mean")
    assert reskeras.Run(tmp_path / "run").folder.provenance()["precision"] == "float32"


def test_a_changed_batch_size_is_told_what_goes_with_it(tmp_path):
    flags = [*TINY, "--epochs", 1, "--recipe", "step-cifar"]
    told = invoke("train", *flags, "--batch-size", 32, "--out", tmp_path / "a").stdout
    assert "learning_rate 0.1 is meant for batches of 128 images; the usual rule for 32 is --learning-rate 0.02" in told
    told = invoke("train", *flags, "--batch-size", 32, "--learning-rate", 0.02, "--out", tmp_path / "b").stdout
    assert "is meant for" not in told


def test_evaluate_and_export_agree(copied):
    evaluated = json.loads(invoke("evaluate", copied.path, "--json").stdout)
    exported = json.loads(invoke("export", copied.path, "--to", "tflite", "--no-timing", "--json").stdout)
    assert [proof["kind"] for proof in exported] == ["tflite"]
    assert exported[0]["holds"]
    assert abs(exported[0]["accuracy"] - evaluated["top1"]) < 0.05
    shown = invoke("export", copied.path, "--to", "tflite", "--no-timing").stdout
    assert "agrees" in shown
    files = [line for line in shown.splitlines() if str(copied.path) in line]
    assert [line.split()[0] for line in files] == ["tflite", "card"]
    assert len({line.index(str(copied.path)) for line in files}) == 1, "paths stand one below the other"


def test_evaluate_in_views_by_class_and_into_files(copied, tmp_path):
    written = ["--confusion", tmp_path / "confusion.png", "--predictions", tmp_path / "each.csv"]
    shown = invoke("evaluate", copied.path, "--views", 10, "--classes", *written).stdout
    assert "test split, 10 views, float32" in shown
    assert re.search(r"(?m)^7 +\d+ +\d+\.\d\d%$", shown)
    assert (tmp_path / "confusion.png").stat().st_size > 10_000
    assert len((tmp_path / "each.csv").read_text().splitlines()) == 360
    found = json.loads(invoke("evaluate", copied.path, "--scales", "16,24", "--recalibrate", 200, "--json").stdout)
    assert found["images"] == 359 == sum(each["images"] for each in found["classes"].values())
    assert found["views"].endswith("shorter side 16 24")


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--views", 3], "views: 3 is not one of 1, 2, 6, 10"),
        (["--scales", "big"], "scales: 'big': should be numbers such as 224,256,384"),
        (["--confusion", "matrix.gif"], "should end in .png, .svg or .csv"),
        (["--save-recalibrated"], "there is nothing to save without recalibrate"),
    ],
)
def test_evaluations_that_cannot_be_are_refused(trained, flags, said):
    assert said in refused("evaluate", trained.path, *flags)


def test_predict_names_classes(trained, tmp_path):
    Image.new("L", (20, 30), 90).save(tmp_path / "grey.png")
    [prediction] = json.loads(invoke("predict", trained.path, tmp_path / "grey.png", "--top", 3, "--json").stdout)
    assert len(prediction["top"]) == 3
    assert {name for name, _ in prediction["top"]} <= {str(digit) for digit in range(10)}


def test_build_saves_a_run_that_loads(tmp_path):
    result = invoke("build", *TINY, "--classes", 3, "--out", tmp_path / "built", "--plot", tmp_path / "net.png")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "built").iterdir()) == [
        "model.keras",
        "network.yaml",
        "provenance.json",
        "resolved.yaml",
    ]
    assert (tmp_path / "net.png").stat().st_size > 10_000
    import reskeras

    model = reskeras.load(tmp_path / "built")
    assert model.output_shape == (None, 3)
    assert reskeras.plan(tmp_path / "built").complexity().parameters == sum(
        int(np.prod(weight.shape)) for weight in model.trainable_weights
    )


def test_a_reference_network_is_built_and_read_again(tmp_path):
    flags = ["--classes", 3, "--input-shape", "32x32x3"]
    assert invoke("build", "vgg-19", *flags, "--out", tmp_path / "vgg").exit_code == 0
    assert "vgg-19" in invoke("show", tmp_path / "vgg").stdout


class TestRefusals:
    def test_no_folder_and_no_run(self, tmp_path):
        assert "folder not found" in refused("evaluate", tmp_path / "absent")
        assert "is not a run folder" in refused("export", tmp_path)

    def test_a_run_without_a_model(self, copied):
        (copied.path / "model.keras").unlink()
        for command in ("evaluate", "export"):
            assert "has no model.keras" in refused(command, copied.path)

    def test_a_truncated_model(self, copied):
        whole = (copied.path / "model.keras").read_bytes()
        (copied.path / "model.keras").write_bytes(whole[: len(whole) // 2])
        assert "model.keras is broken" in refused("evaluate", copied.path, status=1)

    def test_a_model_with_code_in_it_is_not_executed(self, copied, tmp_path):
        image = keras.Input((16, 16, 1))
        marker = tmp_path / "executed"
        code = keras.layers.Lambda(lambda x, path=str(marker): (Path(path).touch(), x)[1], output_shape=(16, 16, 1))
        keras.Model(image, code(image)).save(copied.path / "model.keras")
        marker.unlink(missing_ok=True)
        assert "model.keras is broken or not a Keras model" in refused("evaluate", copied.path, status=1)
        assert not marker.exists()

    def test_broken_records_of_a_run(self, copied):
        (copied.path / "provenance.json").write_text("{")
        assert "provenance.json is broken" in refused("evaluate", copied.path, status=1)
        (copied.path / "preprocessing.npz").write_bytes(b"no archive")
        assert "preprocessing.npz is broken" in refused("predict", copied.path, copied.path / "classes.txt", status=1)

    def test_an_output_folder_that_exists(self, tmp_path):
        (tmp_path / "taken").mkdir()
        for command in ("build", "train"):
            assert "already exists" in refused(command, *TINY, "--out", tmp_path / "taken")
        assert list((tmp_path / "taken").iterdir()) == []

    def test_an_output_below_a_file(self, tmp_path):
        (tmp_path / "file").write_text("")
        assert "is not a writable folder" in refused("build", *TINY, "--out", tmp_path / "file" / "run")

    @pytest.mark.parametrize(
        ("flags", "named"),
        [
            (["--classes", "5"], "classes: 5 contradicts digits, which has 10 classes"),
            (["--data", "folder:absent"], "folder not found: absent"),
            (["--data", "nothing"], "'nothing' is not one of digits"),
            (["--data", "cifar10", "--data-dir", "absent"], "data_dir: folder not found: absent"),
            (["--recipe", "nothing"], "recipe: 'nothing' is not one of budget-cifar, detector, fast-cifar"),
            (["--recipe", "absent.yaml"], "file not found: absent.yaml"),
            (["--epochs", "0"], "epochs: 0"),
            (["--precision", "float8"], "precision: 'float8' is not one of auto"),
        ],
    )
    def test_a_wrong_request_leaves_nothing_behind(self, tmp_path, monkeypatch, flags, named):
        monkeypatch.chdir(tmp_path)
        assert named in refused("train", *TINY, *flags)
        assert os.listdir(tmp_path) == []

    def test_a_recipe_file_is_refused_with_its_line(self, tmp_path):
        (tmp_path / "mine.yaml").write_text("epochs: 2\nschedule:\n  kind: sawtooth\n")
        message = refused("train", *TINY, "--recipe", tmp_path / "mine.yaml")
        assert "schedule.kind: 'sawtooth' is not one of constant, cosine, linear, steps, plateau" in message
        assert "line 3" in message


def test_a_broken_line_of_the_metrics_is_told_and_passed_over(copied):
    with open(copied.path / "metrics.jsonl", "a") as file:
        file.write("garbage\n")
    result = invoke("report", copied.path, "--json")
    assert len(json.loads(result.stdout)["metrics"]) == 4
    assert "metrics.jsonl, line 5 is broken" in result.stderr
