"""Mean average precision as a Keras metric, which the device computes and replicas add up."""

from __future__ import annotations

import keras
import tensorflow as tf

BINS = 512


class MeanAveragePrecision(keras.metrics.Metric):
    """Mean average precision of float32 logits (n, classes), over the classes that occur.

    Of soft targets, float32 (n, classes), those above 1/2 count as present, as accuracy takes the top class. Scores are
    counted in BINS bins of x / (1 + |x|), evenly spaced; within a bin they are equal. The state is two numbers for each
    class and bin, sums over images, so that batches and replicas add up to the same.
    """

    def __init__(self, classes: int, name: str = "average_precision"):
        super().__init__(name=name)
        self.classes = classes
        self.present = self.add_weight(shape=(classes, BINS), initializer="zeros", name="present")
        self.absent = self.add_weight(shape=(classes, BINS), initializer="zeros", name="absent")

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None) -> None:
        """Count a batch; sample weights are ignored."""
        logits, targets = tf.cast(y_pred, tf.float32), tf.cast(y_true > 0.5, tf.float32)
        places = tf.cast(BINS * (0.5 + 0.5 * logits / (1 + tf.abs(logits))), tf.int32)
        places = tf.clip_by_value(places, 0, BINS - 1) + BINS * tf.range(self.classes)
        for counts, shares in ((self.present, targets), (self.absent, 1 - targets)):
            sums = tf.math.unsorted_segment_sum(tf.reshape(shares, [-1]), tf.reshape(places, [-1]), self.classes * BINS)
            counts.assign_add(tf.reshape(sums, [self.classes, BINS]))

    def result(self) -> tf.Tensor:
        """The mean over classes of sum of (recall's step) x precision, from the highest scores down."""
        present, absent = (tf.convert_to_tensor(counts) for counts in (self.present, self.absent))
        found, wrong = (tf.cumsum(counts, axis=1, reverse=True) for counts in (present, absent))
        precision = tf.math.divide_no_nan(found, found + wrong)
        positives = tf.reduce_sum(present, axis=1)
        average = tf.math.divide_no_nan(tf.reduce_sum(present * precision, axis=1), positives)
        return tf.math.divide_no_nan(tf.reduce_sum(average), tf.reduce_sum(tf.cast(positives > 0, tf.float32)))
