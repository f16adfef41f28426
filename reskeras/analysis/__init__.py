"""What goes on inside a network: responses, the stream and its residuals, gradients, units removed or swapped."""

import reskeras.engine  # noqa: F401 - TensorFlow and Keras, quietly
