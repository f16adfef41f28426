"""Accuracy as the papers measure it, and predictions, always in float32."""

import reskeras.engine  # noqa: F401 - TensorFlow and Keras, quietly
