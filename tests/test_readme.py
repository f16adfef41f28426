"""The claims of README and guides: their commands run, their Python runs, outputs are what the commands print."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDES = ROOT / "docs" / "guides"
ORDERED = ("train", "analyse", "serve")  # guides with one story
PATHS = [*(GUIDES / f"{name}.md" for name in ORDERED), *sorted(GUIDES.glob("*.md")), ROOT / "README.md"]
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in PATHS}
README = "\n".join(PAGES.values())
BLOCKS = list(dict.fromkeys(re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)))
RESKERAS = str(Path(sys.executable).with_name("reskeras"))


def examples():
    """(command line, printed output) of every `$ reskeras` in a console block."""
    for kind, block in BLOCKS:
        if kind == "console" and "| head" not in block:
            for part in block.split("$ ")[1:]:
                command, _, output = part.partition("\n")
                yield command, output


def finished(words, folder, timeout):
    """A process run to its end in `folder`, with what it printed."""
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False)


def run(command, folder, timeout=600):
    words = shlex.split(command)
    assert words[0] == "reskeras"
    return finished([RESKERAS, *words[1:]], folder, timeout)


def yaml_block(name):
    """The YAML block of the README whose first line is the comment `name`."""
    [block] = [block for kind, block in BLOCKS if kind == "yaml" and block.startswith(f"# {name}\n")]
    return block


def python_block(start):
    """The Python block of the README whose first line is `start`."""
    [block] = [block for kind, block in BLOCKS if kind == "python" and block.startswith(f"{start}\n")]
    return block


def without_timing(text):
    return re.sub(r"\s+", " ", re.sub(r"in \d+\.\d s|\d+\.\d s\b", "", text)).strip()


def test_commands_that_need_no_training_print_what_the_readme_shows(tmp_path):
    inspecting = [pair for pair in examples() if {*pair[0].split()[1:3]} & {"list", "show", "diff"}]
    shown = {command: output for command, output in inspecting if ".yaml" not in command}
    assert len(shown) > 1
    assert any(command.startswith("reskeras detect show") for command in shown)
    for command, output in shown.items():
        done = run(command, tmp_path)
        assert done.returncode == 0, done.stderr
        assert without_timing(done.stdout) == without_timing(output)


def test_the_yaml_example_and_its_error_are_as_the_readme_says(tmp_path):
    example = yaml_block("mine.yaml")
    (tmp_path / "mine.yaml").write_text(example)
    assert run("reskeras show mine.yaml", tmp_path).returncode == 0
    (tmp_path / "mine.yaml").write_text(example.replace("shortcut: B", "shortcut: D"))
    refused = run("reskeras show mine.yaml", tmp_path)
    assert refused.returncode == 2
    assert "shortcut: 'D' is not one of A, B, C, none (in mine.yaml, line 3)" in refused.stderr
    assert "shortcut: 'D' is not one of A, B, C, none (in wrong.yaml, line 3)" in README


def test_the_detector_example_is_a_detector(tmp_path):
    (tmp_path / "detector.yaml").write_text(yaml_block("detector.yaml"))
    done = run("reskeras detect show detector.yaml --set anchors.sizes=[16,32,64]", tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"anchors\s+9 per cell", done.stdout)


def test_the_recipe_example_is_a_recipe(tmp_path):
    import reskeras

    (tmp_path / "mine.yaml").write_text(yaml_block("mine-recipe.yaml"))
    read = reskeras.recipe(tmp_path / "mine.yaml")
    assert (read.epochs, read.schedule.warmup, read.augment.cutmix) == (40, 0.1, 1.0)
    [written] = re.findall(r"`(optimizer: \{.*?\})`", README)
    (tmp_path / "optimizer.yaml").write_text(written)
    assert reskeras.recipe(tmp_path / "optimizer.yaml").optimizer.beta_2 == 0.99
    told = []
    network = reskeras.network("cifar-resnet-20", depth=8)
    short = {"epochs": 2, "batch_size": 32, "out": tmp_path / "run"}
    run = reskeras.train(network, "digits@128", tmp_path / "mine.yaml", tell=told.append, **short)
    assert "sizes: 24x24 from epoch 1, 32x32 from epoch 2" in told
    assert (run.model().input_shape, run.preprocessing().framing.crop) == ((None, 32, 32, 1), 0.95)


def test_the_recipe_of_detectors_is_one_and_its_batch_is_drawn(tmp_path, detector_files):
    from PIL import Image

    (tmp_path / "detector-recipe.yaml").write_text(yaml_block("detector-recipe.yaml"))
    [command] = re.findall(r"^reskeras detect show .* --batch .*$", README, re.MULTILINE)
    words = {" detector.yaml": f" {detector_files / 'detector.yaml'}"}
    words["digits-boxes"] = f"voc:{detector_files / 'shapes'}"
    for name, word in words.items():
        command = command.replace(name, str(word))
    done = run(" ".join(command.split()), tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "batch.png") as picture:
        assert picture.width > 3 * 400


def test_the_losses_of_the_readme_are_a_recipe(tmp_path):
    from reskeras import recipe

    (tmp_path / "mine.yaml").write_text(yaml_block("distilled.yaml"))
    read = recipe(tmp_path / "mine.yaml")
    assert (read.loss.kind, read.loss.threshold, read.teacher) == ("binary_cross_entropy", 0.2, "saved_models/large")
    assert (read.distillation.temperature, read.distillation.share) == (4, 0.9)
    other = re.search(r"or (\{kind: focal.*\})", yaml_block("distilled.yaml"))[1]
    (tmp_path / "other.yaml").write_text(f"loss: {other}")
    assert recipe(tmp_path / "other.yaml").loss.alpha == 0.25


def test_the_space_example_is_a_space(tmp_path):
    from reskeras import network, recipe, space
    from reskeras.tuning.candidates import Candidates

    (tmp_path / "mine.yaml").write_text(yaml_block("mine-space.yaml"))
    Candidates(space(tmp_path / "mine.yaml"), network("cifar-resnet-20"), recipe("quick")).check()


def test_every_command_named_in_the_readme_exists():
    named = set(re.findall(r"`?reskeras (\w+)[ `]", README))
    from reskeras_cli.main import COMMANDS

    assert named & set(COMMANDS) >= {"list", "show", "diff", "schema", "build", "train", "export"}
    for name in set(re.findall(r"\$ reskeras (\w+)", README)):
        assert name in COMMANDS


def test_data_from_python_is_trained_on_as_the_readme_says(tmp_path):
    checks = (
        "assert (data.train.count, data.test.count, data.classes[9]) == (1500, 297, '9')\n"
        "assert any('float images from 0 to 1 became uint8, rounded by up to 0.50' in note for note in data.notes)\n"
        "assert run.evaluate().loss == reskeras.Run('saved_models/mine').evaluate(data).loss\n"
    )
    done = finished([sys.executable, "-c", python_block("# data from Python") + checks], tmp_path, 300)
    assert done.returncode == 0, done.stderr[-2000:]
    refused = run("reskeras evaluate saved_models/mine", tmp_path)
    assert refused.returncode == 2 and "keeps their fingerprint but no images; give them again" in refused.stderr


def test_the_table_of_the_readme_is_read(tmp_path):
    import numpy as np
    from PIL import Image

    assert "columns `path`, `label` and, if wanted, `split`" in README and "`cat|hat`" in README
    for name in "abcd":
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f"{name}.png")
    rows = ["path,label,split", "a.png,cat|hat,train", "b.png,hat,train", "c.png,,train", "d.png,cat,test"]
    (tmp_path / "photos.csv").write_text("\n".join(rows))
    done = run("reskeras data csv:photos.csv", tmp_path)
    assert done.returncode == 0 and "at most 2; none in 1 training" in done.stdout, done.stderr


@pytest.mark.slow
def test_build_prints_what_the_readme_shows(tmp_path):
    [(command, output)] = [pair for pair in examples() if pair[0].split()[1] == "build"]
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert without_timing(done.stdout) == without_timing(output)


@pytest.mark.slow
def test_conform_prints_what_the_readme_shows(tmp_path):
    import keras

    keras.applications.ResNet50V2(weights=None).save(tmp_path / "resnet50v2.keras")
    [(command, output)] = [pair for pair in examples() if pair[0].split()[1] == "conform"]
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert without_timing(done.stdout) == without_timing(output)


@pytest.mark.slow
def test_train_evaluate_predict_export_run_as_in_the_readme(tmp_path):
    from PIL import Image
    from sklearn.datasets import load_digits

    seven = load_digits().images[7]
    Image.fromarray((seven * 255 / 16).round().astype("uint8")).save(tmp_path / "seven.png")
    ran = []
    told = "".join(PAGES[name] for name in ORDERED)
    for command, _ in examples():
        if command in told and "saved_models/demo" in command and "serve" not in command:
            done = run(command, tmp_path)
            assert done.returncode == 0, done.stderr
            ran.append(command.split()[1])
            if ran[-1] == "evaluate":
                accuracy = float(re.search(r"accuracy\s+([\d.]+)%", done.stdout)[1])
                assert accuracy >= 97
            if ran[-1] == "predict":
                assert re.search(r"seven\.png\s+7\s", done.stdout)
    assert ran == ["train", "evaluate", "predict", "analyse", "export"]


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path):
    done = finished([sys.executable, "-c", python_block("# networks, training, export, search")], tmp_path, 900)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "saved_models" / "try" / "export").is_dir()
