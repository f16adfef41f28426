"""TFDS sets of odd channels, labels and sizes, with broken images, and described by somebody else's files."""

import io
import json
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

import reskeras
from reskeras.data.registry import open_source
from reskeras.data.survey import survey
from reskeras.errors import ReskerasError
from reskeras.evaluation.statistics import recalibrate
from tests.data.tfds_sets import prepared_set, truncate_image

BOTH = {"train": [0, 1] * 5, "test": [0, 1] * 3}
NET = {"family": "cifar", "stages": [1], "input_shape": [8, 8, 3]}


@pytest.mark.parametrize(
    ("shape", "channels", "words"),
    [
        ((6, 5, 1), 1, ""),
        ((6, 5, 3), 3, ""),
        ((6, 5, 4), 3, "alpha"),
        ((None, None, 4), 3, "alpha"),
        ((None, None, None), 3, "does not state the number of channels"),
    ],
)
def test_images_are_read_as_pillow_reads_them(tmp_path, shape, channels, words):
    prepared_set(tmp_path, "odd", BOTH, shape, None if shape[-1] is None else "png")
    source = open_source("tfds:odd", tmp_path)
    stored = (
        tfds.builder("odd", data_dir=tmp_path)
        .as_dataset(split="train", decoders={"image": tfds.decode.SkipDecoding()})
        .as_numpy_iterator()
    )
    for index, example in enumerate(stored):
        expected = np.atleast_3d(np.asarray(Image.open(io.BytesIO(example["image"]))))[..., :3]
        np.testing.assert_array_equal(source.train.example(tf.constant(index, tf.int64))[0], expected)
    assert source.channels == channels
    assert any(words in note for note in source.notes) if words else not source.notes


def test_two_channels_are_refused_before_anything_is_trained(tmp_path):
    prepared_set(tmp_path, "odd", BOTH, (6, 5, 2))
    with pytest.raises(ReskerasError, match="images with 2 channels") as caught:
        open_source("tfds:odd", tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_images_without_a_label_are_left_out_and_counted(tmp_path):
    prepared_set(tmp_path, "holes", {"train": [0, -1, 1, 1, -1, 0], "test": [-1, 1]})
    source = open_source("tfds:holes", tmp_path)
    labels = [
        [int(split.example(tf.constant(index, tf.int64))[1]) for index in range(split.count)]
        for split in (source.train, source.test)
    ]
    assert [sorted(each) for each in labels] == [[0, 0, 1, 1], [1]]
    assert any("2 of 6 images in the train split" in note for note in source.notes)
    whole = tfds.builder("holes", data_dir=tmp_path).as_dataset(split="train", shuffle_files=False).as_numpy_iterator()
    kept = [index for index, example in enumerate(whole) if example["label"] >= 0]
    assert [source.train.where(place).split(" of ")[0] for place in range(4)] == [f"record {each}" for each in kept]


def test_of_very_many_an_unknown_label_is_an_error_that_names_its_record(tmp_path, monkeypatch):
    monkeypatch.setattr("reskeras.data.prepared.LABELS_READ", 3)
    prepared_set(tmp_path, "holes", {"train": [0, 1, 1, -1, 0, 1], "test": [-1, -1, -1, -1]})
    source = open_source("tfds:holes", tmp_path)
    assert source.train.count + source.test.count == 6  # the test split's first has no label
    with pytest.raises(ReskerasError, match=r"record \d of split train.*not a valid label"):
        reskeras.train(
            reskeras.network(**NET), "tfds:holes", data_dir=tmp_path, epochs=1, batch_size=2, out=tmp_path / "run"
        )


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"train": [0]}, "one training image"),
        ({"train": [-1, -1]}, "no training image"),
        ({"test": [0, 1]}, "no train split"),
    ],
)
def test_too_few_images_are_refused_in_a_line(tmp_path, splits, words):
    prepared_set(tmp_path, "few", splits)
    with pytest.raises(ReskerasError, match=words) as caught:
        open_source("tfds:few", tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_an_empty_test_split_gives_way(tmp_path):
    emptied(prepared_set(tmp_path, "lone", BOTH), "test")
    source = open_source("tfds:lone", tmp_path)
    assert (source.train.count, source.test.count) == (9, 1)


def test_an_empty_training_split_is_refused(tmp_path):
    emptied(prepared_set(tmp_path, "lone", BOTH), "train")
    with pytest.raises(ReskerasError, match="no training image with a label"):
        open_source("tfds:lone", tmp_path)


def emptied(version, split):
    """Take the records out of a split, and its length out of the description: TFDS makes no such set."""
    [file] = version.glob(f"*-{split}.tfrecord*")
    file.write_bytes(b"")
    info = json.loads((version / "dataset_info.json").read_text())
    next(each for each in info["splits"] if each["name"] == split)["shardLengths"] = ["0"]
    (version / "dataset_info.json").write_text(json.dumps(info))


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory):
    """(folder, a run trained on it): sets `bad_train` and `bad_test`, each with one cut-off JPEG."""
    folder = tmp_path_factory.mktemp("sets")
    for name in ("whole", "bad_train", "bad_test"):
        version = prepared_set(folder, name, BOTH, (9, 8, 3), "jpeg")
        if name != "whole":
            truncate_image(version, name.removeprefix("bad_"), 4)
    run = reskeras.train(
        reskeras.network(**NET), "tfds:whole", data_dir=folder, epochs=1, batch_size=5, out=folder / "run"
    )
    return folder, run


PASSES = {
    "train": (
        "train",
        lambda run, data, folder: reskeras.train(
            reskeras.network(**NET), data, data_dir=folder, epochs=1, batch_size=5, out=folder / "never"
        ),
    ),
    "in mid-epoch": (
        "train",
        lambda run, data, folder: reskeras.train(
            reskeras.network(**NET),
            data,
            data_dir=folder,
            epochs=1,
            batch_size=5,
            normalise="scale",
            holdout=0,
            out=folder / "begun",
        ),
    ),
    "watched": (
        "test",
        lambda run, data, folder: reskeras.train(
            reskeras.network(**NET), data, data_dir=folder, epochs=1, batch_size=5, holdout=0, out=folder / "watched"
        ),
    ),
    "evaluate": ("test", lambda run, data, folder: run.evaluate(data, folder)),
    "views": ("test", lambda run, data, folder: run.evaluate(data, folder, views=10)),
    "scales": ("test", lambda run, data, folder: run.evaluate(data, folder, scales=[8])),
    "recalibrate": ("train", lambda run, data, folder: run.evaluate(data, folder, recalibrate=10)),
    "export": ("test", lambda run, data, folder: run.export("tflite", data=data, data_dir=folder)),
    "representative": ("train", lambda run, data, folder: run.explain(data=data, data_dir=folder)),
    "analyse": ("test", lambda run, data, folder: run.analyse(data, folder, lesions=0)),
    "analyse gradients": ("train", lambda run, data, folder: run.analyse(data, folder, lesions=0)),
}


@pytest.mark.sample(5)
@pytest.mark.parametrize("what", PASSES)
def test_every_pass_names_the_record_that_cannot_be_read(spoiled, what):
    folder, run = spoiled
    split, work = PASSES[what]
    with pytest.raises(ReskerasError) as caught:
        work(run, f"tfds:bad_{split}", folder)
    message = str(caught.value)
    assert message.startswith(f"data: an image could not be read: record 4 of split {split}, in {folder}")
    assert len(message.splitlines()) == 1
    assert caught.value.status == 1


@pytest.mark.parametrize("split", ["train", "test"])
def test_data_warns_of_it(spoiled, split):
    folder, _ = spoiled
    warnings = survey(open_source(f"tfds:bad_{split}", folder)).warnings
    assert any(f"cannot be read, and will stop training: record 4 of split {split}" in each for each in warnings)
    assert not any("cannot be read" in each for each in survey(open_source("tfds:whole", folder)).warnings)


def test_statistics_alone_name_it_too(spoiled):
    folder, run = spoiled
    with pytest.raises(ReskerasError, match="record 4 of split train"):
        recalibrate(run.model(), open_source("tfds:bad_train", folder).train, run.preprocessing(), 10)


@pytest.fixture
def marked(tmp_path, monkeypatch):
    """The name of a module that leaves a mark when it is imported, and where the mark is."""
    mark = tmp_path / "imported"
    (tmp_path / "innocent_module_of_tests.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "innocent_module_of_tests", mark
    sys.modules.pop("innocent_module_of_tests", None)


def hidden(described, module, how):
    """`described` with a feature of a class of `module`."""
    name, features = f"{module}.Feature", described["featuresDict"]["features"]
    if how == "class":
        features["label"]["pythonClassName"] = name
    elif how == "snake":
        features["label"]["python_class_name"] = name
        del features["label"]["pythonClassName"]
    elif how == "outermost":
        described["pythonClassName"] = name
    elif how == "legacy":
        return {"type": name, "content": {}}
    elif how == "json in json":
        features["label"] = {
            "pythonClassName": "tensorflow_datasets.core.features.sequence_feature.Sequence",
            "jsonFeature": {"json": json.dumps({"feature": {"type": name, "content": {}}})},
        }
    return described


@pytest.mark.parametrize("how", ["class", "snake", "outermost", "legacy", "json in json"])
@pytest.mark.parametrize("opened", ["classifier", "detector"])
def test_no_module_is_imported_that_a_set_names(tmp_path, marked, how, opened):
    from reskeras.tasks.detection.opening import open_objects

    module, mark = marked
    version = prepared_set(tmp_path, "trap", BOTH)
    file = version / "features.json"
    file.write_text(json.dumps(hidden(json.loads(file.read_text()), module, how)))
    with pytest.raises(ReskerasError, match=r"features\.json has a feature of class") as caught:
        (open_source if opened == "classifier" else open_objects)("tfds:trap", tmp_path)
    assert not mark.exists()
    assert caught.value.status == 1


def test_the_trap_would_have_sprung(tmp_path, marked):
    """TFDS itself imports what the description names, so that the test above can fail."""
    module, mark = marked
    version = prepared_set(tmp_path, "trap", BOTH)
    file = version / "features.json"
    file.write_text(json.dumps(hidden(json.loads(file.read_text()), module, "class")))
    with pytest.raises(ValueError, match="Unrecognized"):
        tfds.features.FeatureConnector.from_config(str(version))
    assert mark.exists()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("features.json", "null"),
        ("dataset_info.json", "[1]"),
        ("features.json", '{"featuresDict": null}'),
        ("features.json", "[" * 100_000),
        ("features.json", '{"a": ' + "9" * 5000 + "}"),
        ("dataset_info.json", "\0" * 99),
        ("features.json", " " * (65 << 20)),
        ("dataset_info.json", " " * (65 << 20)),
        ("label.labels.txt", "a\n" * (33 << 20)),
        ("../.config/metadata.json", '{"default_config_name": "../../elsewhere"}'),
    ],
)
def test_hostile_descriptions_are_refused_in_a_line(tmp_path, file, text):
    version = prepared_set(tmp_path, "odd", BOTH)
    (version / file).parent.mkdir(exist_ok=True)
    (version / file).write_text(text)
    with pytest.raises(ReskerasError) as caught:
        open_source("tfds:odd", tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_absurdly_many_classes_are_refused(tmp_path):
    file = prepared_set(tmp_path, "odd", BOTH) / "features.json"
    described = json.loads(file.read_text())
    described["featuresDict"]["features"]["label"]["classLabel"]["numClasses"] = str(10**12)
    file.write_text(json.dumps(described))
    with pytest.raises(ReskerasError, match="classes"):
        open_source("tfds:odd", tmp_path)


def test_sets_of_other_namespaces_are_not_looked_for(tmp_path):
    with pytest.raises(ReskerasError, match="namespace"):
        open_source("tfds:huggingface:mnist", tmp_path)
