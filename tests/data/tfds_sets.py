"""Prepared TFDS sets made for tests, which no code in this process describes."""

from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds


def prepared_set(folder, name, splits, shape=(6, 5, 3), form="png", classes=2, dtype=np.uint8, layout="tfrecord"):
    """A set `name` in `folder`; `splits` has the labels of each split's images, of random pixels of `shape`, whose open
    sides are 6, 5 and 3. Returns the folder of its version."""
    features = {
        "image": tfds.features.Image(shape=shape, dtype=dtype, encoding_format=form),
        "label": tfds.features.ClassLabel(num_classes=classes),
    }
    rng = np.random.default_rng(0)
    size = [side or known for side, known in zip(shape, (6, 5, 3), strict=True)]

    def examples(labels):
        images = rng.integers(0, np.iinfo(dtype).max, (len(labels), *size)).astype(dtype)
        return tf.data.Dataset.from_tensor_slices({"image": images, "label": np.array(labels, np.int64)})

    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        data_dir=folder,
        file_format=layout,
        split_datasets={split: examples(labels) for split, labels in splits.items()},
    )
    return Path(folder) / name / "1.0.0"


def truncate_image(version, split, number):
    """Cut the stored image of one record to half its length."""
    [file] = version.glob(f"*-{split}.tfrecord*")
    records = [tf.train.Example.FromString(data.numpy()) for data in tf.data.TFRecordDataset(str(file))]
    stored = records[number].features.feature["image"].bytes_list.value
    stored[0] = stored[0][: len(stored[0]) // 2]
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in records:
            writer.write(record.SerializeToString())
