"""Titles and legends have room, whatever their length."""

import io

import numpy as np
import pytest

from reskeras.report.figures import Figure
from reskeras.report.fonts import shortened
from reskeras.report.legends import add_legend
from reskeras.report.styles import styled
from tests.report.measured import laid_out


class TestTitles:
    def drawn(self, title, columns=1):
        figure = Figure(6 * columns, 2)
        for axes in np.ravel(figure.subplots(1, columns)):
            axes.set_title(title)
            axes.set_yticks([0, 1], ["a name that takes a third of the width", "b"])
        figure.savefig(io.BytesIO(), format="png")
        renderer = figure._get_renderer()
        return figure, [axes._left_title.get_window_extent(renderer) for axes in figure.axes]

    def test_a_short_one_begins_at_the_axes(self):
        figure, [place] = styled(self.drawn)("short")
        assert place.x0 == pytest.approx(figure.axes[0].get_window_extent().x0, abs=2)

    def test_a_longer_one_begins_further_left(self):
        figure, [place] = styled(self.drawn)("a title of the whole width of the page")
        assert 0 <= place.x0 < figure.axes[0].get_window_extent().x0 - 5 and place.x1 <= figure.bbox.x1
        assert figure.axes[0]._left_title.get_text() == "a title of the whole width of the page"

    def test_one_that_is_wider_than_the_figure_is_shortened_in_its_middle(self):
        figure, [place] = styled(self.drawn)("begin " + "x" * 200 + " end")
        assert place.x0 >= 0 and place.x1 <= figure.bbox.x1
        told = figure.axes[0]._left_title.get_text()
        assert told.startswith("begin") and told.endswith("end") and "…" in told

    @styled
    def test_axes_without_a_title_leave_their_room_to_the_next(self):
        figure = Figure(8, 2)
        first = figure.subplots(1, 5)[0]
        first.set_title("a title wider than one of five")
        laid_out(figure)
        assert first._left_title.get_text() == "a title wider than one of five"
        assert first._left_title.get_position()[0] == 0

    def test_titles_side_by_side_do_not_meet(self):
        _, (one, other) = styled(self.drawn)("a title of some length", 2)
        assert one.x1 < other.x0


class TestLegends:
    @styled
    def drawn(self, labels):
        figure = Figure(7.2, 3)
        axes = figure.subplots()
        for label in labels:
            axes.plot([0, 1], [0, 1], label=label)
        add_legend(axes, {"a key": {}})
        return laid_out(figure)

    def test_many_lines_are_named_below_the_plot_which_keeps_its_height(self):
        few, many = self.drawn(["a", "b"]), self.drawn([f"the name of line {place}" for place in range(30)])
        assert few.axes[0].get_legend() and not many.axes[0].get_legend()
        assert [len(each.legends) for each in (few, many)] == [1, 1]
        frames = [each.axes[0].get_window_extent() for each in (few, many)]
        assert frames[1].height > 0.9 * frames[0].height
        legend = many.legends[0].get_window_extent()
        assert legend.y1 < frames[1].y0 and legend.x0 >= 0 and legend.x1 <= many.bbox.x1

    @pytest.mark.parametrize("length", [3, 20, 36, 200])
    def test_they_are_as_wide_as_there_is_room_for(self, length):
        figure = self.drawn([f"{place:02d}{'x' * length}" for place in range(13)])
        legend = figure.legends[0].get_window_extent()
        assert legend.x0 >= 0 and legend.x1 <= figure.bbox.x1

    def test_wide_characters_are_counted_as_two(self):
        assert shortened("日本語" * 5, 30) == "日本語" * 5
        assert shortened("日本語" * 5, 16) == "日本語日本…本語"
        assert shortened("x" * 30, 16) == "x" * 10 + "…" + "x" * 5
