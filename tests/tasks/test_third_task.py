"""A task is a folder that implements one protocol: a tiny one trains, resumes, is evaluated and reported."""

import json

import numpy as np
import pytest
from huggingface_hub import ModelCard

import reskeras
from reskeras.errors import ReskerasError
from reskeras.readers import READERS, Reader
from reskeras.tasks.task import TASKS
from tests.cli.running import printed, refused

NET = {"family": "cifar", "stages": [1, 1], "input_shape": [16, 16, 1]}
LEARNING = {"epochs": 12, "batch_size": 32, "learning_rate": 0.01, "augment": {}}


@pytest.fixture(scope="module", autouse=True)
def counting():
    """The task and its source, in the tables."""
    TASKS["counting"] = "tests.tasks.counting:Counting"
    READERS.append(Reader("squares:N", "counts", "tests.tasks.counting:open_squares"))
    yield
    del TASKS["counting"], READERS[-1]


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """A trained counter."""
    return reskeras.train(
        reskeras.network(**NET),
        "squares:640",
        task="counting",
        out=tmp_path_factory.mktemp("counting") / "run",
        **LEARNING,
    )


def test_it_trains_into_a_run_of_its_own_kind(counter):
    opened = reskeras.Run(counter.path)
    assert type(opened).__name__ == "CounterRun" and opened.folder.task == "counting"
    assert opened.folder.provenance()["task"] == "counting"
    rows = opened.folder.metrics()
    assert [row["epoch"] for row in rows] == list(range(1, 13)) and rows[-1]["mae"] < rows[0]["mae"]


def test_it_is_judged_as_it_says(counter):
    found = counter.evaluate()
    model, source = counter.model(), counter.source()
    images, counts = zip(*(source.test.example(np.int64(index)) for index in range(20)), strict=True)
    told = model(counter.preprocessing().normalise(np.stack(images).astype(np.float32))).numpy()[:, 0]
    assert found.images == 640 and found.mean_error < 0.5
    assert np.mean(np.abs(told - np.array(counts))) < 1


def test_a_stopped_training_goes_on_to_the_same_weights(counter, tmp_path):
    import keras

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 4:
                raise KeyboardInterrupt

    asked = dict(task="counting", out=tmp_path / "run", **LEARNING)
    with pytest.raises(KeyboardInterrupt):
        reskeras.train(reskeras.network(**NET), "squares:640", callbacks=[Stop()], **asked)
    resumed = reskeras.train(reskeras.network(**NET), "squares:640", resume=True, **asked)
    digests = [run.folder.provenance()["trained_sha256"] for run in (counter, resumed)]
    assert digests[0] == digests[1]
    with pytest.raises(ReskerasError, match=r"holds another training: data 'squares:320' instead of 'squares:640'"):
        reskeras.train(reskeras.network(**NET), "squares:320", resume=True, **asked)


def test_its_page_and_its_commands(counter, tmp_path):
    page = reskeras.write_report(counter.path, out=tmp_path / "page.html").read_text()
    assert "Counters" in page and "mean error" in page and f"{counter.evaluate().mean_error:.2f}" in page
    card = ModelCard.load(counter.path / "README.md")
    assert [each.metric_type for each in card.data.eval_results] == ["mean_error"]
    assert (
        card.data.eval_results[0].metric_value == counter.evaluate().mean_error and "A counter of 1 class," in card.text
    )
    assert json.loads(printed("evaluate", counter.path, "--json")) == counter.evaluate().as_dict()
    assert "mean error" in printed("evaluate", counter.path)
    assert f"views: only for classifiers; {counter.path} is a counter" in refused(
        "evaluate", counter.path, "--views", "10"
    )
    told = printed("report", counter.path, "--out", tmp_path / "again.html")
    assert "squares" in told and "12" in told and "no exports yet" not in told


def test_what_is_of_another_task_is_refused(counter, trained):
    with pytest.raises(ReskerasError, match="is a counter, not a detector; see reskeras evaluate"):
        reskeras.DetectorRun(counter.path)
    with pytest.raises(ReskerasError, match=r"is a counter and .* a classifier; make a report of each"):
        reskeras.write_report(counter.path, trained.path)
    with pytest.raises(ReskerasError, match="task: 'depth' is not one of"):
        reskeras.train("cifar-resnet-20", task="depth")
    with pytest.raises(ReskerasError, match="data: 'digits' is not one of squares:N"):
        reskeras.train("cifar-resnet-20", "digits", task="counting")


def test_its_training_is_typed_like_any_other(tmp_path):
    told = printed(
        "train",
        "--family",
        "cifar",
        "--set",
        "stages=[1]",
        "--input-shape",
        "16x16x1",
        "--task",
        "counting",
        "--data",
        "squares:64",
        "--epochs",
        "1",
        "--out",
        tmp_path / "run",
    )
    assert "mean error" in told and "saved" in told and "next" not in told
    assert "task: 'depth' is not one of classification, multilabel, detection" in refused("train", "--task", "depth")


def test_several_seeds_are_compared_only_by_what_a_task_measures(tmp_path):
    with pytest.raises(ReskerasError, match="seeds: the task counting has no measures to compare its runs by"):
        reskeras.train_seeds("cifar-resnet-20", "squares:64", seeds=2, task="counting", out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
