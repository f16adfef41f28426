"""Evaluation as in the papers, and predictions, always in float32."""

import reskeras.engine  # noqa: F401 - TensorFlow and Keras, quietly
