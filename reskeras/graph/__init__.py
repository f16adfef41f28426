"""Plan -> keras.Model: the compiler, the layers that stock Keras lacks, loading."""

import reskeras.engine  # noqa: F401 - TensorFlow and Keras, quietly
