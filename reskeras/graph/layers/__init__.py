"""Keras layers that stock Keras lacks. Importing this package registers them, so that models load by name."""

from reskeras.graph.layers.batch_norm import FusedBatchNormalization
from reskeras.graph.layers.convolution import GroupedConv2D, SubsamplingConv2D
from reskeras.graph.layers.dirac import Dirac
from reskeras.graph.layers.dropout import CountedDropout
from reskeras.graph.layers.padding import EdgePadding2D
from reskeras.graph.layers.quantisation import IntegerConv2D, Quantise

__all__ = [
    "CountedDropout",
    "Dirac",
    "EdgePadding2D",
    "FusedBatchNormalization",
    "GroupedConv2D",
    "IntegerConv2D",
    "Quantise",
    "SubsamplingConv2D",
]
