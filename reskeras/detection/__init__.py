"""Objects in images: annotated sources, boxes, Faster R-CNN and what it is judged by."""

import reskeras.engine  # noqa: F401 - TensorFlow and Keras, quietly
