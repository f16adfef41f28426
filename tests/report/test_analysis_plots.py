"""Plots of analyses: what was measured, along networks of one depth or several, and seeds in a band."""

from dataclasses import replace

import numpy as np
import pytest

from reskeras.analysis.lesions import Lesion
from reskeras.analysis.responses import Response
from reskeras.report.analysis_plots import draw_analyses
from reskeras.report.labels import MOST_DIRECT, EndLabel
from reskeras.report.styles import COLOURS
from tests.report.measured import analysed, laid_out

SEEDS = {"net, seed 0": "net", "net, seed 1": "net"}


def labels_of(axes):
    return [label.get_text() for label in axes.findobj(EndLabel)]


def key_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def responding(name, *sizes):
    return replace(
        analysed(name, len(sizes)),
        responses=tuple(Response(f"layer{place}", "after batch norm", size) for place, size in enumerate(sizes)),
    )


def test_analyses_are_drawn_as_they_were_measured():
    analysis = replace(
        responding("one", 2.0, 3.0, 1.0),
        units=analysed("one").units,
        lesions=(
            Lesion("removed", ("unit1",), 0.5),
            Lesion("removed", ("unit3",), 0.75),
            Lesion("swapped", ("unit2", "unit3"), 0.25),
        ),
    )
    found = draw_analyses({"one": analysis})
    inorder, falling = (axis.lines[0].get_xydata().tolist() for axis in found["responses"].axes)
    np.testing.assert_allclose(inorder, [[1, 2], [2, 3], [3, 1]])
    np.testing.assert_allclose(falling, [[1, 3], [2, 2], [3, 1]])
    removed, swapped = found["lesions"].axes
    assert removed.lines[0].get_xydata().tolist() == [[1, 50], [3, 25]]
    assert swapped.lines[0].get_xydata().tolist() == [[2, 75]]
    assert [axis.lines[1].get_ydata()[0] for axis in (removed, swapped)] == pytest.approx([10, 10])
    assert removed.get_xlim() == swapped.get_xlim() == (0, 4) and removed.get_ylim() == (0, 100)
    weights, stream = (axis.lines[0].get_ydata().tolist() for axis in found["gradients"].axes)
    assert weights == pytest.approx([unit.gradient for unit in analysis.units])
    assert stream == pytest.approx([unit.stream_gradient for unit in analysis.units])
    share, depth = (axis.lines[0].get_ydata().tolist() for axis in found["signal"].axes)
    assert (share, depth) == ([unit.shortcut_share for unit in analysis.units], [unit.depth for unit in analysis.units])


def test_labels_say_what_is_compared():
    analysis = replace(
        responding("one", 2.0, 3.0, 1.0),
        lesions=tuple(Lesion("removed", (f"unit{place}",), accuracy) for place, accuracy in enumerate((0.1, 0.7, 0.8))),
    )
    found = draw_analyses({"one": analysis})
    assert [labels_of(axes) for axes in found["responses"].axes] == [["one"], ["one (mean 2.00)"]]
    assert labels_of(found["lesions"].axes[0]) == ["one (median 30%)"]
    assert labels_of(found["signal"].axes[1]) == [f"one ({analysis.depth:.1f} layers)"]


def test_networks_of_different_depth_are_laid_over_each_other():
    found = draw_analyses({"shallow": analysed("shallow", 3), "deep": analysed("deep", 6)})
    for name, figure in found.items():
        lines = [line.get_xdata() for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
        if name != "lesions":
            assert [line.tolist() for line in lines] == [[0, 50, 100], pytest.approx([0, 20, 40, 60, 80, 100])]
        assert {axes.get_xlim() for axes in figure.axes} == {(0, 100)}
        assert "%" in figure.axes[-1].get_xlabel()
    removed = found["lesions"].axes[0]
    assert removed.lines[0].get_xdata().tolist() == [50, 100]
    assert removed.lines[2].get_xdata().tolist() == pytest.approx([20, 40, 60, 80, 100])


def test_networks_of_one_depth_are_drawn_by_layer():
    axes = draw_analyses({"one": analysed("one", 4), "other": analysed("other", 4)})["responses"].axes[0]
    assert [line.get_xdata().tolist() for line in axes.lines] == [[1, 2, 3, 4]] * 2
    assert axes.get_xlim() == (1, 4) and axes.get_xlabel().startswith("layer")


class TestBands:
    def drawn(self, *analyses):
        return draw_analyses(dict(zip(SEEDS, analyses, strict=True)), SEEDS, seeds=SEEDS)

    def test_seeds_are_their_mean_in_a_band(self):
        found = self.drawn(responding("net", 2.0, 3.0, 1.5), responding("net", 4.0, 1.0, 1.5))
        inorder, falling = found["responses"].axes
        means = [np.sqrt(2 * 4), np.sqrt(3 * 1), 1.5]  # the axis is logarithmic
        assert inorder.lines[0].get_ydata().tolist() == pytest.approx(means)
        assert falling.lines[0].get_ydata().tolist() == pytest.approx([np.sqrt(3 * 4), np.sqrt(2 * 1.5), np.sqrt(1.5)])
        [band] = inorder.collections
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.max() == pytest.approx(means[0] * np.exp(np.std(np.log([2, 4]), ddof=1)))
        assert heights.min() == pytest.approx(means[1] / np.exp(np.std(np.log([3, 1]), ddof=1)))
        assert key_of(found["responses"]) == ["× or ÷ geometric standard deviation"]  # as the band is
        assert labels_of(inorder) == ["net"]

    def test_on_a_logarithmic_axis_they_are_those_of_logarithms(self):
        found = self.drawn(responding("net", 100.0, 1.0, 1.0), responding("net", 1.0, 1.0, 1.0))
        axes = found["responses"].axes[0]
        assert axes.get_yscale() == "log"
        assert axes.lines[0].get_ydata().tolist() == pytest.approx([10, 1, 1])
        assert axes.collections[0].get_paths()[0].vertices[:, 1].min() > 0

    def test_runs_with_other_layers_are_lines_of_their_own(self):
        found = self.drawn(analysed("net", 3), analysed("net", 4))
        axes = found["responses"].axes[0]
        assert len(axes.lines) == 2 and not axes.collections
        assert labels_of(axes) == list(SEEDS)
        assert axes.lines[0].get_color() == axes.lines[1].get_color()

    def test_lesions_of_seeds_are_a_band_beside_the_mean_error_of_the_whole(self):
        one = replace(analysed("net", 3), accuracy=0.8)
        other = replace(one, accuracy=0.6, lesions=tuple(replace(each, accuracy=0.3) for each in one.lesions))
        removed = self.drawn(one, other)["lesions"].axes[0]
        assert removed.lines[0].get_ydata().tolist() == pytest.approx([60, 60])
        assert removed.lines[1].get_ydata()[0] == pytest.approx(30)
        assert len(removed.collections) == 1
        heights = removed.collections[0].get_paths()[0].vertices[:, 1]
        assert heights.max() - 60 == pytest.approx(60 - heights.min()) == pytest.approx(np.std([50, 70], ddof=1))
        assert key_of(removed.figure)[-1] == "± standard deviation"

    def test_without_bands_each_is_a_line(self):
        found = draw_analyses(dict.fromkeys(SEEDS, analysed("net")), SEEDS)
        assert len(found["responses"].axes[0].lines) == 2 and not found["responses"].legends


def test_panels_give_equal_labels_one_colour_and_panels_their_dashes():
    panels = {"plain": ("plain", "20"), "residual": ("residual", "20")}
    figures = draw_analyses({name: analysed(name) for name in panels}, panels=panels)
    plain, residual = figures["responses"].axes[0].lines
    assert plain.get_color() == residual.get_color() == COLOURS[0]
    assert not plain.is_dashed() and residual.is_dashed()
    assert [text.get_text() for text in figures["responses"].legends[0].get_texts()] == ["plain", "residual"]


def test_many_networks_are_in_a_legend():
    names = [f"network {place}" for place in range(MOST_DIRECT + 1)]
    for figure in draw_analyses({name: analysed(name) for name in names}).values():
        assert not any(labels_of(axes) for axes in figure.axes)
        assert [text.get_text() for text in laid_out(figure).legends[0].get_texts()][: len(names)] == names


def test_responses_have_a_logarithmic_axis_unless_one_is_nothing():
    usual, dead = responding("a", 1.0, 1.1), responding("a", 1.0, 0.0, 1.1)
    usual, dead = (draw_analyses({"a": each})["responses"].axes[0] for each in (usual, dead))
    assert (usual.get_yscale(), dead.get_yscale()) == ("log", "linear")
    assert dead.get_ylim()[0] == 0


@pytest.mark.parametrize("sizes", [(0.67, 1.0, 1.5), (0.9, 3.0), (1.0, 1.0), (0.001, 70.0)])
def test_labelled_ticks_enclose_what_is_on_a_logarithmic_axis(sizes):
    axes = laid_out(draw_analyses({"a": responding("a", *sizes)})["responses"]).axes[0]
    ticks = (*axis_ticks(axes.yaxis, minor=False), *axis_ticks(axes.yaxis, minor=True))
    labelled = [place for place, label in ticks if label]
    low, high = axes.get_ylim()
    assert low < min(sizes) and max(sizes) < high
    assert any(low <= place <= min(sizes) for place in labelled) or min(sizes) < 0.01
    assert any(max(sizes) <= place <= high * 1.001 for place in labelled) or max(sizes) > 50


def axis_ticks(axis, minor):
    return [
        (tick.get_loc(), tick.label1.get_text())
        for tick in (axis.get_minor_ticks() if minor else axis.get_major_ticks())
    ]


def test_what_nothing_was_measured_of_has_no_plot():
    one = analysed("one")
    assert len(draw_analyses({"one": one})["lesions"].axes) == 1  # removed, none swapped
    both = replace(one, lesions=(*one.lesions, Lesion("swapped", ("unit2", "unit3"), 0.25)))
    assert len(draw_analyses({"one": both})["lesions"].axes) == 2


def test_a_logarithmic_axis_is_labelled_in_plain_text():
    figure = laid_out(draw_analyses({"a": analysed("a")})["gradients"])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert any("10⁻" in label or "0.01" in label for label in labels)
    assert not any("$" in label or "\\" in label for label in labels)


def test_a_network_of_one_layer_is_a_dot():
    axes = draw_analyses({"one": replace(analysed("one", 1), lesions=())})["responses"].axes[0]
    assert axes.lines[0].get_marker() == "o" and axes.get_xlim()[0] < axes.get_xlim()[1]
