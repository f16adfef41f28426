"""Figures row by row: where dots, means and published marks stand, and in which colours."""

import pytest

from reskeras.report.curves import draw_curves
from reskeras.report.dots import Dots, dots_in_words, draw_dots
from tests.report.test_curves import NETS, PANELS, by_net, key_of

TEST = Dots("test error", {"plain-20": [17.0, 18.0], "resnet-20": [14.5], "resnet-56": []}, {"resnet-56": 6.97})
TRAINING = Dots("training error", {"plain-20": [13.0, 14.0], "resnet-20": [10.0]}, {})


def drawn(axes, marker):
    return {tuple(line.get_xydata()[0]): line.get_color() for line in axes.lines if line.get_marker() == marker}


def test_each_seed_is_a_dot_in_the_rows_place_the_mean_a_bar_and_the_published_figure_a_mark():
    figure = draw_dots([TEST, TRAINING], ["plain-20", "resnet-20", "resnet-56"])
    test, training = figure.axes
    points = [line.get_xydata().tolist() for line in test.lines if line.get_marker() == "o"]
    assert points == [[[17, 0], [18, 0]], [[14.5, 1]], []]
    assert [*drawn(test, "|")] == [(17.5, 0)] and [*drawn(test, "D")] == [(6.97, 2)]
    assert [*drawn(training, "|")] == [(13.5, 0)] and not drawn(training, "D")
    assert [text.get_text() for text in test.get_yticklabels()] == ["plain-20", "resnet-20", "resnet-56"]
    assert test.get_ylim() == (2.5, -0.5)  # the first row at the top
    assert key_of(figure) == ["a seed", "mean", "published, another protocol"]
    assert key_of(draw_dots([Dots("e", {"one": [1.0], "two": [2.0]}, {})], ["one", "two"])) == ["a seed"]


@pytest.mark.parametrize("panels", [None, PANELS])
def test_colours_are_those_of_the_curves(panels):
    figure = draw_dots([Dots("test error", {net: [10.0] for net in NETS}, {})], NETS, panels)
    curves = draw_curves(by_net(), panels=panels)
    bold = {line.get_color() for axes in curves.axes for line in axes.lines if not line.is_dashed()}
    dots = [line.get_color() for line in figure.axes[0].lines]
    assert set(dots) == bold and len(set(dots)) == (2 if panels else 4)
    assert (dots[0] == dots[2]) == bool(panels)  # of 20 layers, plain and residual


def test_it_is_told_in_words():
    assert dots_in_words([TEST]) == (
        "A dot for each seed of each row. Test error: plain-20 17.50%, resnet-20 14.50%. Published: resnet-56 6.97%."
    )
