"""Named sources of images to tf.data: random access by index, every epoch a pure function of (seed, epoch)."""

import reskeras.engine  # noqa: F401 - TensorFlow and Keras, quietly
