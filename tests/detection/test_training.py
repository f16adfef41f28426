"""A whole training of a detector: what it learns, what it leaves, what it is begun from, how it goes on."""

import numpy as np
import pytest

import reskeras
from reskeras.errors import ReskerasError


def test_a_detector_learns_squares_and_discs(detector_run):
    evaluation = detector_run.evaluate()
    assert evaluation.voc.map_area > 0.8
    assert evaluation.recall[300].share > 0.9
