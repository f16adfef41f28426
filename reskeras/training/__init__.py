"""Training of compiled networks by a recipe."""

import reskeras.engine  # noqa: F401 - TensorFlow and Keras, quietly
