"""Artefacts of a trained run, each measured against the Keras model before it is called done."""

import reskeras.engine  # noqa: F401 - TensorFlow and Keras, quietly
