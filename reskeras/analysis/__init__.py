"""Analyses of trained networks: layer responses, the residual stream, gradients, units removed or swapped."""

import reskeras.engine  # noqa: F401 - TensorFlow and Keras, quietly
