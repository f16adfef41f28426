"""The function that every artefact computes: raw pixels in, logits and probabilities out, float32."""

from __future__ import annotations

import keras
import tensorflow as tf

from reskeras.data.preprocessing import Preprocessing


class Inference(tf.Module):
    """Normalisation, network and softmax in one, with a free batch size."""

    def __init__(self, model: keras.Model, preprocessing: Preprocessing):
        super().__init__()
        self.model = model
        self.preprocessing = preprocessing
        shape = [None, preprocessing.height, preprocessing.width, preprocessing.channels]
        self.signature = tf.TensorSpec(shape, tf.float32, name="images")

    def __call__(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """`images`: float32 (batch, height, width, channels), pixels 0 to 255, at the network's size."""
        logits = self.model(self.preprocessing.normalise(images), training=False)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}
