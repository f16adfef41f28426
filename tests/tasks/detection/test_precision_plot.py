"""The plot of precision by recall shows the curves that were measured."""

import numpy as np
import pytest

from reskeras.tasks.detection.average_precision import voc_precision
from reskeras.tasks.detection.precision_plot import MOST_NAMED, draw_precision, precision_in_words
from tests.tasks.detection.scenes import annotated, detected, drawn


def test_each_class_with_objects_has_its_curve_the_best_first(tmp_path):
    objects, detections = drawn(np.random.default_rng(1), 5, images=20)
    precision = voc_precision(detections, objects, ("never found", "b", "c", "d", "no objects"))
    figure = draw_precision(precision)
    lines = figure.axes[0].lines
    best = sorted(precision.classes[:4], key=lambda each: -each.area)
    assert [line.get_label() for line in lines] == [f"{each.name} {each.area:.1%}" for each in best]
    for line, each in zip(lines, best, strict=True):
        np.testing.assert_allclose(line.get_xdata(), 100 * each.recall)
        np.testing.assert_allclose(line.get_ydata(), 100 * each.precision)
    figure.savefig(tmp_path / "precision.png")
    words = precision_in_words(precision)
    assert "never found 0.0%" in words and "no objects" not in words and "over 4 classes" in words


@pytest.mark.parametrize("count", [0, 1, 80])
def test_any_number_of_classes_is_drawn(count, tmp_path):
    objects = annotated([[(0, 0, 10, 10, label)] for label in range(count)])
    found = detected([(label, label, 0.5, 0, 0, 10, 10) for label in range(0, count, 2)])
    precision = voc_precision(found, objects, tuple(f"class {label}" for label in range(count)))
    figure = draw_precision(precision)
    figure.savefig(tmp_path / "precision.png")
    assert len(figure.axes[0].lines) == count
    legends = [each for each in (*figure.legends, figure.axes[0].get_legend()) if each]
    assert sum(len(legend.get_texts()) for legend in legends) == min(count, MOST_NAMED)
    assert precision_in_words(precision).endswith(".")
