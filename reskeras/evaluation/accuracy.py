"""Loss, top-1 and top-5 accuracy of a model on a split, single view, in float32 (v1 section 3.4 and 4.2)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from reskeras.data.pipeline import evaluation_batches
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Split


@dataclass(frozen=True)
class Evaluation:
    """What a model does on `images` images: mean cross-entropy in nats, and accuracies in 0..1.

    `top5` is None where there are five classes or fewer.
    """

    data: str
    split: str
    images: int
    loss: float
    top1: float
    top5: float | None

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON."""
        return asdict(self)


def forward(model: keras.Model) -> Any:
    """`model` in inference as a graph function, traced once for any batch size."""
    shape = [None, *model.inputs[0].shape[1:]]
    return tf.function(lambda images: model(images, training=False), input_signature=[tf.TensorSpec(shape, tf.float32)])


def evaluate(
    model: keras.Model, split: Split, preprocessing: Preprocessing, data: str, batch_size: int = 128
) -> Evaluation:
    """Run every image of `split` through `model` once, in order."""
    predict = forward(model)
    loss, hits = 0.0, np.zeros(2, np.int64)
    for images, labels in evaluation_batches(split, preprocessing, batch_size):
        logits, labels = predict(images).numpy().astype(np.float64), labels.numpy()
        own = logits[np.arange(len(labels)), labels]
        top = logits.max(axis=1)
        loss += float(np.sum(np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - own))
        # a tie counts against the model: an untrained net of equal logits is never right
        rank = (logits >= own[:, None]).sum(axis=1)
        hits += [(rank <= 1).sum(), (rank <= 5).sum()]
    classes = model.outputs[0].shape[-1]
    return Evaluation(data, split.name, split.count, loss / split.count, float(hits[0] / split.count),
                      float(hits[1] / split.count) if classes > 5 else None)
