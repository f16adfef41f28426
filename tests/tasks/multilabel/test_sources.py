"""The same images with several classes each as a table of files, an archive and arrays: one training."""

import numpy as np
import pytest
from PIL import Image

import reskeras
from tests.tasks.multilabel.pairs import NAMES, pairs

HOW = {
    "epochs": 1,
    "batch_size": 32,
    "precision": "float32",
    "deterministic": True,
    "holdout": 0.0,
    "augment": {"flip": False},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with the pairs as `pairs.csv` and `pairs.npz`, and the arrays."""
    folder = tmp_path_factory.mktemp("pairs")
    splits = {"train": pairs(96, np.arange(1400), 0), "test": pairs(40, np.arange(1400, 1797), 1)}
    rows = ["path,labels,split"]
    for split, (images, labels) in splits.items():
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            Image.fromarray(image[..., 0]).save(folder / f"{split}-{index}.png")
            there = "|".join(name for name, each in zip(NAMES, label, strict=True) if each)
            rows.append(f"{split}-{index}.png,{there},{split}")
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    (x, y), (x_test, y_test) = splits.values()
    np.savez(folder / "pairs.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return folder, ((x, y), (x_test, y_test))


@pytest.mark.slow
def test_a_table_an_archive_and_arrays_train_a_multi_label_classifier(written, tmp_path):
    folder, arrays = written
    net = reskeras.network(family="cifar", stages=[1, 1], input_shape=[8, 16, 1])
    data = {"csv": f"csv:{folder / 'pairs.csv'}", "npz": f"npz:{folder / 'pairs.npz'}", "arrays": arrays}
    runs = {name: reskeras.train(net, each, out=tmp_path / name, **HOW) for name, each in data.items()}
    assert {run.task for run in runs.values()} == {"multilabel"}
    digests = {name: run.folder.provenance()["trained_sha256"] for name, run in runs.items()}
    assert digests["npz"] == digests["arrays"]  # a table's classes are in the order of their names
    assert runs["csv"].evaluate().mean_average_precision > 0
    assert runs["csv"].folder.classes() == sorted(NAMES)
    assert runs["arrays"].evaluate(arrays).loss == runs["npz"].evaluate().loss
