"""Export of trained runs; each artefact is verified against the Keras model before it is published."""

import reskeras.engine  # noqa: F401 - TensorFlow and Keras, quietly
