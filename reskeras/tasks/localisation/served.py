"""A served localiser, alone or with a refiner: image files, or pixels, to the best box of each class."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from reskeras.export.inference import Outputs
from reskeras.export.served_files import GREY, READ, checked_files, read_each
from reskeras.export.serving import SIGNATURES
from reskeras.tasks.detection.canvas import Placed
from reskeras.tasks.detection.served import FILES, Function, ServedFinder, where_true
from reskeras.tasks.localisation.localiser import Localiser, Told
from reskeras.tasks.localisation.stages import LIKELIEST
from reskeras.tasks.refinement.refiner import Refiner

OF_LOCALISERS = (*SIGNATURES, "of_classes", "pixels")


class ServedLocaliser(ServedFinder):
    """A localiser on the centre crop, and maybe a refiner, whose batch norms are folded."""

    def __init__(self, localiser: Localiser, classes: Sequence[str], refiner: Refiner | None = None):
        parts = [*localiser.networks.parts.values(), *(refiner.networks.parts.values() if refiner else ())]
        super().__init__(parts, classes, localiser.plan.canvas)
        self._stages = lambda: (localiser, refiner)  # as plain attributes their models would be saved a second time

    def offered(self) -> dict[str, Function]:
        """Also `of_classes`, with the names of classes, and `pixels`."""
        files = tf.TensorSpec([None], tf.string, name=FILES)
        names = tf.TensorSpec([None, None], tf.string, name="classes")
        channels = self._stages()[0].plan.input_shape[-1]
        images = tf.TensorSpec([None, None, None, channels], tf.uint8, name="images")
        return {
            **super().offered(),
            "of_classes": (self.of_classes, (files, names)),
            "pixels": (self.pixels, (images,)),
        }

    def example(self, batch: int) -> dict[str, dict[str, tensor_pb2.TensorProto]]:
        """A request of `batch` grey images to each signature."""
        found = super().example(batch)
        size = [batch, *self._canvas, self._stages()[0].plan.input_shape[-1]]
        names = tf.make_tensor_proto(self.classes[0].encode(), shape=[batch, 1])
        return {
            **found,
            "of_classes": {**found["bytes"], "classes": names},
            "pixels": {"images": tf.make_tensor_proto(GREY, "uint8", size)},
        }

    def __call__(self, image_bytes: tf.Tensor) -> Outputs:
        """Encoded JPEG or PNG files (B,) to the best box of each class, by descending score: `boxes` (B, n, 4) top,
        left, bottom, right in pixels of the image, `scores` (B, n), `classes` (B, n) names, and `count` (B,). With a
        refiner of the LIKELIEST classes by the localiser alone. `status` (B,) is as in `told`.
        """
        images, status = self._read(image_bytes)
        return self.told(self._likeliest(images, image_bytes, tf.equal(status, READ)), status)

    def of_classes(self, image_bytes: tf.Tensor, classes: tf.Tensor) -> Outputs:
        """As `__call__`, for the `classes` (B, k) of each file, such as a classifier's, in their order; what is the
        name of none has zeros."""
        images, status = self._read(image_bytes)
        same = tf.equal(classes[..., tf.newaxis], tf.constant(self.classes))
        known, labels = tf.reduce_any(same, axis=-1), tf.argmax(same, axis=-1, output_type=tf.int32)
        told = self._stages()[0].told(images)
        scores, boxes = self._best(told, images, labels, image_bytes, tf.equal(status, READ))
        found = tf.where(known, scores, 0.0), tf.where(known[..., tf.newaxis], boxes, 0.0), tf.where(known, labels, -1)
        return self.told(_listed(*found), status)

    def pixels(self, images: tf.Tensor) -> Outputs:
        """As `__call__`, for decoded images uint8 (B, height, width, channels), which have one size; so must those of
        all requests at a time to a server that batches them."""
        localiser, _ = self._stages()
        # a server does not check a request against the signature's shape, and TensorFlow trusts static shapes
        images = tf.compat.v1.placeholder_with_default(images, [None] * 4)
        with tf.control_dependencies([tf.debugging.Assert(tf.size(images) > 0, ["the batch is empty"])]):
            images = tf.ensure_shape(images, [None, None, None, localiser.plan.input_shape[-1]])
        height, width, channels = localiser.plan.input_shape
        shapes = tuple(tf.TensorSpec(shape) for shape in ([height, width, channels], [4], [2], [2]))
        shown = Placed(*tf.map_fn(self._place, images, fn_output_signature=shapes))
        found = self._likeliest(shown, images, tf.fill(tf.shape(images)[:1], True))
        return self.told(found, tf.fill(tf.shape(images)[:1], READ))

    def features(self, image_bytes: tf.Tensor) -> Outputs:
        """The shared map (B, h, w, C) that the heads run on, `features`; and `status` (B,). Zeros where that is not
        `ok`."""
        images, status = self._read(image_bytes)
        localiser, _ = self._stages()
        maps = localiser.networks.parts["shared"](localiser.normalised(images, *localiser.plan.canvas))
        return {"features": where_true(tf.equal(status, READ), maps), "status": status}

    def _place(self, image: tf.Tensor) -> tuple[tf.Tensor, ...]:
        localiser, _ = self._stages()
        return localiser.place_image(image, localiser.plan.canvas, localiser.plan.sides)

    def _read(self, image_bytes: tf.Tensor) -> tuple[Placed, tf.Tensor]:
        """The images on their crops, and their status."""
        channels = self._stages()[0].plan.input_shape[-1]
        parts, status = read_each(checked_files(image_bytes), channels, self._place)
        return Placed(*parts), status

    def _likeliest(self, images: Placed, sources: tf.Tensor, readable: tf.Tensor) -> Outputs:
        """Of every class, or with a refiner of the LIKELIEST, what `_best` finds, by descending score."""
        localiser, refiner = self._stages()
        told, count = localiser.told(images), len(self.classes)
        labels = tf.tile(tf.range(count)[tf.newaxis], [tf.shape(images.pixels)[0], 1])
        if refiner is not None:
            scores, _ = localiser.best(told, images, labels, 1)
            labels = tf.math.top_k(scores[..., 0], min(LIKELIEST, count)).indices
        found = *self._best(told, images, labels, sources, readable), labels
        order = tf.argsort(found[0], direction="DESCENDING", stable=True)
        return _listed(*(tf.gather(values, order, batch_dims=1) for values in found))

    def _best(
        self, told: Sequence[Told], images: Placed, labels: tf.Tensor, sources: tf.Tensor, readable: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores (B, k) and boxes (B, k, 4) of classes int32 (B, k). A refiner cuts its regions out of `sources`, files
        or pixels, where they are `readable` (B,)."""
        localiser, refiner = self._stages()
        if refiner is None:
            scores, boxes = localiser.best(told, images, labels, 1)
            return scores[..., 0], boxes[..., 0, :]
        _, boxes = localiser.best(told, images, labels, refiner.plan.spec.count)

        def judged(row: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
            source, was_read, own, candidates = row
            judge = refiner.on if source.dtype == tf.string else refiner.in_image
            nothing = tf.zeros_like(candidates)
            return tf.cond(was_read, lambda: judge(source, own, candidates), lambda: (nothing[..., 0], nothing))

        scores, boxes = tf.map_fn(
            judged,
            (sources, readable, labels, boxes),
            fn_output_signature=(tf.TensorSpec(boxes.shape[1:3]), tf.TensorSpec(boxes.shape[1:])),
            parallel_iterations=1,
        )
        best = tf.argmax(scores, axis=-1)
        return tuple(tf.gather(values, best, batch_dims=2) for values in (scores, boxes))


def _listed(scores: tf.Tensor, boxes: tf.Tensor, labels: tf.Tensor) -> Outputs:
    count = tf.fill(tf.shape(labels)[:1], tf.shape(labels)[1])
    return {"scores": scores, "boxes": boxes, "labels": labels, "count": count}


class CropLocaliser(tf.Module):
    """A localiser from the pixels of a crop on, for artefacts that are files; `batch` crops at a time, or any number.
    Batch norm is folded."""

    def __init__(self, localiser: Localiser, classes: Sequence[str], batch: int | None = None):
        super().__init__()
        self.batch = batch
        self.classes = tuple(classes)
        self._localiser = lambda: localiser  # as a plain attribute its models would be saved a second time
        self.kept = [variable.value for part in localiser.networks.parts.values() for variable in part.weights]

    def signatures(self, names: Sequence[str] = SIGNATURES) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The one signature."""
        images = tf.TensorSpec([self.batch, *self._localiser().plan.input_shape], tf.float32, name="images")
        return {"serving_default": tf.function(self.__call__, autograph=False).get_concrete_function(images)}

    def example(self, batch: int) -> dict[str, dict[str, tensor_pb2.TensorProto]]:
        """No requests: nothing serves it."""
        return {}

    def __call__(self, images: tf.Tensor) -> Outputs:
        """Crops (B, height, width, channels), pixels 0 to 255, to the best box of each class, in the order of the
        classes: `scores` (B, C) and `boxes` (B, C, 4) top, left, bottom, right in pixels of the crop; and `best` int32
        (B,), the class with the highest score."""
        localiser = self._localiser()
        window = tf.constant([[0.0, 0.0, *localiser.plan.canvas]])  # an image fills its crop
        crops = Placed(images, window, tf.ones([1, 2]), tf.zeros([1, 2]))
        labels = tf.tile(tf.range(len(self.classes))[tf.newaxis], [tf.shape(images)[0], 1])
        scores, boxes = localiser.on(crops, labels, 1)
        scores = scores[..., 0]
        return {"scores": scores, "boxes": boxes[..., 0, :], "best": tf.argmax(scores, axis=-1, output_type=tf.int32)}
