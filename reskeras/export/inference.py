"""The inference graph that is exported, float32: raw pixels or image files to classes, with batch norm folded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import keras
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.evaluation.heads import SOFTMAX, Head
from reskeras.export.served_files import GREY, READ, checked_files, grey_file, read_each
from reskeras.export.serving import SIGNATURES
from reskeras.graph.compile import compile_plan
from reskeras.graph.fold import folded
from reskeras.graph.weights import read, write
from reskeras.plans import operations as op
from reskeras.plans.plan import Plan, Unit

FEATURES = "features"
PIXEL_TYPES = ("uint8", "float32")
Outputs = dict[str, tf.Tensor]


class Inference(tf.Module):
    """Normalisation, network and the probabilities of `head` in one module, for `batch` images at a time or any number.

    `model` is a trained network of `plan`, in any form and precision; its weights go into a new float32 graph in which
    batch norm is folded into a directly preceding convolution, unless `fold` is false. With `guarded` an empty batch,
    or images of another size, are answered with an INVALID_ARGUMENT that says so.
    """

    def __init__(
        self,
        plan: Plan,
        model: keras.Model,
        preprocessing: Preprocessing,
        classes: Sequence[str],
        pixels: str = "uint8",
        fold: bool = True,
        guarded: bool = True,
        head: Head = SOFTMAX,
        batch: int | None = None,
    ):
        super().__init__()
        if pixels not in PIXEL_TYPES:
            raise ReskerasError(f"pixels: {pixels!r} is not one of {', '.join(PIXEL_TYPES)}")
        self.preprocessing, self.classes, self.pixels = preprocessing, tuple(classes), pixels
        self.guarded, self.head, self.batch = guarded, head, batch
        plan, weights = (folded if fold else lambda plan, weights: (plan, weights))(plan, read(model))
        self.plan = with_features(plan)
        network = compile_plan(self.plan, "inference", outputs=(FEATURES, "logits"))
        write(network, weights)
        self._model = lambda: network  # in an attribute of its own it would be saved a second time
        self.network: Callable[[tf.Tensor], Outputs] = lambda images: network(images, training=False)
        self.kept = [variable.value for variable in network.weights]  # a tf.Module saves what it holds

    @property
    def model(self) -> keras.Model:
        """Normalised images to features and logits."""
        return self._model()

    def signatures(self, names: Sequence[str] = SIGNATURES) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The signatures for serving, restricted to `names`."""
        images = tf.TensorSpec([self.batch, *self.preprocessing.size], self.pixels, name="images")
        files = tf.TensorSpec([None], tf.string, name="image_bytes")
        offered = {
            "serving_default": (self.__call__, images),
            "bytes": (self.from_bytes, files),
            "features": (self.features, images),
        }
        return {
            name: tf.function(call).get_concrete_function(asked)
            for name, (call, asked) in offered.items()
            if name in names
        }

    def example(self, batch: int) -> dict[str, dict[str, tensor_pb2.TensorProto]]:
        """A request of `batch` grey images to each signature; its tensors store the constant value once."""
        images = tf.make_tensor_proto(GREY, self.pixels, [batch, *self.preprocessing.size])
        files = tf.make_tensor_proto(grey_file(*self.preprocessing.size[:2]), shape=[batch])
        return {"serving_default": {"images": images}, "features": {"images": images}, "bytes": {"image_bytes": files}}

    def __call__(self, images: tf.Tensor) -> Outputs:
        """`images` (batch, height, width, channels), pixels 0 to 255, at the network's size: logits, probabilities."""
        logits = self._outputs(images)["logits"]
        return {"logits": logits, "probabilities": self.head.probabilities(logits)}

    def features(self, images: tf.Tensor) -> Outputs:
        """The input of the last dense layer, (batch, channels): pooled features."""
        return {"features": self._outputs(images)[FEATURES]}

    def _outputs(self, images: tf.Tensor) -> Outputs:
        if self.guarded:
            # a server does not check a request against the signature's shape, and TensorFlow trusts static shapes
            images = tf.compat.v1.placeholder_with_default(images, [None] * 4)
            with tf.control_dependencies([tf.debugging.Assert(tf.shape(images)[0] > 0, ["the batch is empty"])]):
                images = tf.ensure_shape(images, [None, *self.preprocessing.size])
        return self.network(self.preprocessing.normalise(images))

    def from_bytes(self, image_bytes: tf.Tensor) -> Outputs:
        """Encoded JPEG or PNG files (batch,) to names of the most likely classes and their probabilities, best first.

        `status` (batch,) is `ok`, or says why a file could not be read; such a row has empty class names and
        probabilities 0 (not NaN, which JSON cannot represent), and does not affect other rows.
        """
        images, status = read_each(
            checked_files(image_bytes), self.preprocessing.channels, self.preprocessing.fit_image
        )
        best = tf.math.top_k(self(images)["probabilities"], min(self.head.listed, len(self.classes)))
        was_read = tf.equal(status, READ)[:, tf.newaxis]
        return {
            "classes": tf.where(was_read, tf.gather(tf.constant(self.classes), best.indices), ""),
            "probabilities": tf.where(was_read, best.values, 0.0),
            "status": status,
        }


def with_features(plan: Plan) -> Plan:
    """`plan` with the head split before its last dense layer, so that the pooled features are an endpoint."""
    head = plan.units[-1]
    last = max(index for index, node in enumerate(head.nodes) if isinstance(node, op.Dense))
    return replace(
        plan,
        units=(*plan.units[:-1], Unit(stage=FEATURES, nodes=head.nodes[:last]), replace(head, nodes=head.nodes[last:])),
    )
