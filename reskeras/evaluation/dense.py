"""The fully convolutional form of a classifier, for images of any size (v1 section 3.4)."""

from __future__ import annotations

import keras
import tensorflow as tf

from reskeras.errors import ReskerasError
from reskeras.evaluation.heads import SOFTMAX, Head
from reskeras.graph.compile import compile_plan
from reskeras.graph.functions import UnitTensors, execute
from reskeras.graph.weights import places, read, write
from reskeras.plans import operations as op
from reskeras.plans.plan import Plan


class DenseNetwork:
    """The network of `plan` with the weights of `model`, for images of any size.

    The head is applied densely, to every window of the last feature map that is as large as the feature map at the
    network's own input size, and its probabilities are averaged. At that input size it is the network itself.
    """

    def __init__(self, plan: Plan, model: keras.Model, meaning: Head = SOFTMAX):
        self.meaning = meaning
        head = plan.units[-1].nodes
        pools = [(index, node) for index, node in enumerate(head) if isinstance(node, op.GlobalPool)]
        if not pools or not all(isinstance(node, (op.Dense, op.Dropout)) for node in head[pools[0][0] + 1 :]):
            raise ReskerasError(
                "scales: this network's head does not pool its feature maps, so it cannot be "
                "applied to images of other sizes; use --views"
            )
        weights = read(model)
        place, self.pool = pools[0]
        self.before, self.after = head[:place], head[place + 1 :]
        body = plan.slice(until=plan.units[-2].name)
        self.body = compile_plan(body, "body", any_size=True)
        write(self.body, {name: weights[name] for name in places(self.body)})
        self.window = body.output_shape[:2]
        self.smallest = plan.input_shape[:2]
        tensors = {
            (operation, role): tf.constant(value)
            for name, value in weights.items()
            for operation, _, role in [name.rpartition("/")]
        }
        self.tensors = UnitTensors(tensors, training=False, learns=False, draw=lambda node: (0.0, 0))
        self.probabilities = tf.function(
            self._probabilities, input_signature=[tf.TensorSpec([None, None, None, plan.input_shape[-1]], tf.float32)]
        )

    def _probabilities(self, images: tf.Tensor) -> tf.Tensor:
        """Normalised images (n, h, w, c) of any one size to probabilities (n, classes), averaged over positions."""
        maps = self.body(images, training=False)
        features = self._pooled(execute(self.before, maps, self.tensors))
        return tf.reduce_mean(self.meaning.probabilities(execute(self.after, features, self.tensors)), axis=(1, 2))

    def _pooled(self, maps: tf.Tensor) -> tf.Tensor:
        # the window cannot exceed the feature map: small images give a single position
        high, wide = (tf.minimum(own, tf.shape(maps)[axis]) for own, axis in zip(self.window, (1, 2), strict=True))
        whole = tf.reduce_all([tf.equal(high, self.window[0]), tf.equal(wide, self.window[1])])
        reduce, pool = (
            (tf.reduce_mean, tf.nn.avg_pool2d) if self.pool.reduce == "average" else (tf.reduce_max, tf.nn.max_pool2d)
        )
        return tf.cond(
            whole, lambda: pool(maps, self.window, 1, "VALID"), lambda: reduce(maps, axis=(1, 2), keepdims=True)
        )
