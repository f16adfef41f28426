"""Learning curves: what is drawn where, in which style, and what its labels say."""

import io
from itertools import combinations

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from reskeras.report.curves import draw_curves
from reskeras.report.labels import MOST_DIRECT, EndLabel
from reskeras.report.plots import curves_of
from reskeras.report.styles import COLOURS, line_styles
from tests.report.measured import laid_out, metrics, png, rows

NETS = ("plain-20", "plain-56", "resnet-20", "resnet-56")
PANELS = {net: (net.split("-")[0], f"{net[-2:]} layers") for net in NETS}
SEEDS = {f"{net}, seed {seed}": net for net in NETS for seed in (0, 1)}


def by_net(ends=(17.0, 42.0, 14.7, 12.9), epochs=14):
    return {net: metrics(np.linspace(80, end, epochs)) for net, end in zip(NETS, ends, strict=True)}


def by_seed():
    return {run: metrics(np.linspace(80, 10 + 10 * NETS.index(net) + int(run[-1]), 5)) for run, net in SEEDS.items()}


def labels_of(figure):
    return [text for axes in laid_out(figure).axes for text in axes.findobj(EndLabel)]


def key_of(figure):
    return [text.get_text() for text in figure.legends[-1].get_texts()]


def marks_of(axes):
    return {line.get_color(): line.get_ydata()[0] for line in axes.lines if line.get_marker() == "D"}


def curves_in(axes):
    return [line for line in axes.lines if line.get_marker() != "D"]


def test_curves_are_errors_thin_and_dashed_of_training_images_bold_and_solid_of_the_watched_ones():
    figure = draw_curves(
        {
            "one": [
                {"epoch": 1, "accuracy": 0.5, "val_accuracy": 0.25},
                {"epoch": 2, "accuracy": 0.75, "val_accuracy": 0.5},
            ]
        }
    )
    thin, bold = figure.axes[0].lines
    assert thin.get_xydata().tolist() == [[1, 50], [2, 25]]
    assert bold.get_xydata().tolist() == [[1, 75], [2, 50]]
    assert thin.get_linewidth() < bold.get_linewidth() and bold.get_label() == "one"
    assert thin.is_dashed() and not bold.is_dashed() and thin.get_color() == bold.get_color()
    assert key_of(figure) == ["training", "test or held out"]
    dashed, solid = figure.legends[-1].get_lines()
    assert dashed.is_dashed() and not solid.is_dashed() and dashed.get_linewidth() == thin.get_linewidth()
    assert key_of(draw_curves({"one": rows(2)}, watched="test")) == ["training", "test"]


def test_a_curve_is_labelled_at_its_end_in_its_colour_with_the_last_test_error():
    figure = draw_curves(by_net())
    for label, net, end, line in zip(
        labels_of(figure), NETS, (17.0, 42.0, 14.7, 12.9), figure.axes[0].lines[1::2], strict=True
    ):
        assert label.get_text() == f"{net} {end:.1f}%"
        assert label.get_color() == line.get_color()
        assert label.xy == pytest.approx((14, end))
    assert not any(axes.get_legend() for axes in figure.axes) and len(figure.legends) == 1


def test_a_run_without_test_images_is_labelled_with_its_training_error():
    [label] = labels_of(draw_curves({"run": [{"epoch": 1, "accuracy": 0.5}, {"epoch": 2, "accuracy": 0.75}]}))
    assert label.get_text() == "run 25.0%"


@pytest.mark.parametrize("broken", [[], [{"epoch": 1, "accuracy": None}]])
def test_a_run_without_any_error_keeps_its_label(broken):
    labels = labels_of(draw_curves({"run": rows(2), "broken": broken}))
    assert [label.get_text() for label in labels] == ["run 48.0%", "broken"]


@pytest.mark.parametrize("ends", [(17.0, 42.0, 14.7, 12.9), (10.0,) * 4, (0.0, 0.1, 0.2, 0.0), (80.0,) * 4])
@pytest.mark.parametrize("panels", [None, PANELS])
def test_labels_never_overlap_and_stay_beside_their_axes(ends, panels):
    figure = draw_curves(by_net(ends), panels=panels, published=dict.fromkeys(NETS, 9.0))
    apart(figure)


def test_as_many_labels_as_there_may_be_do_not_overlap():
    apart(draw_curves({f"network {place}": rows(3) for place in range(MOST_DIRECT)}))
    panels = {f"net {place}": (str(place % 2), f"net {place // 2}") for place in range(2 * MOST_DIRECT)}
    apart(draw_curves({net: rows(3) for net in panels}, panels=panels))


def apart(figure):
    boxes = {}
    labels = labels_of(figure)
    assert labels
    renderer = figure._get_renderer()
    for label in labels:
        boxes.setdefault(label.axes, []).append(Text.get_window_extent(label, renderer))
    for axes, inside in boxes.items():
        frame = axes.get_window_extent(renderer)
        for one, other in combinations(inside, 2):
            assert one.y1 <= other.y0 + 0.5 or other.y1 <= one.y0 + 0.5
        assert all(frame.y0 - 1 <= box.y0 and box.y1 <= frame.y1 + 1 for box in inside)
        assert all(frame.x1 < box.x0 and box.x1 <= figure.bbox.x1 for box in inside)
    for one, other in combinations([box for inside in boxes.values() for box in inside], 2):
        assert not one.shrunk(0.98, 0.98).overlaps(other)


def test_labels_are_at_their_ends_where_there_is_room():
    figure = draw_curves(by_net((70.0, 50.0, 30.0, 10.0)))
    for label in labels_of(figure):
        end = label.axes.transData.transform(label.xy)[1]
        box = Text.get_window_extent(label, figure._get_renderer())
        assert (box.y0 + box.y1) / 2 == pytest.approx(end, abs=3)


def test_many_runs_are_in_a_legend():
    figure = draw_curves({f"network {place}": rows(3) for place in range(MOST_DIRECT + 1)})
    assert labels_of(figure) == []
    names = [f"network {place}" for place in range(MOST_DIRECT + 1)]
    assert key_of(figure) == [*names, "training", "test or held out"] and len(figure.legends) == 1


class TestPublished:
    def test_marks_are_at_the_published_errors_in_the_networks_colours_right_of_the_curves(self):
        figure = draw_curves(by_net(), published={"plain-20": 9.5, "resnet-56": 6.97, "another": 3.0})
        axes = laid_out(figure).axes[0]
        colours = [line.get_color() for line in curves_in(axes)[1::2]]
        assert marks_of(axes) == {colours[0]: 9.5, colours[3]: 6.97}
        for line in axes.lines:
            if line.get_marker() == "D":
                x, y = line.get_transform().transform(line.get_xydata())[0]
                assert x >= axes.transAxes.transform((1, 0))[0]
                assert y == pytest.approx(axes.transData.transform((1, line.get_ydata()[0]))[1])
                assert line.get_markerfacecolor() == "none" and not line.get_clip_on()
        assert key_of(figure)[-1] == "published, another protocol"

    def test_what_is_no_number_is_no_mark(self):
        published = {"plain-20": "over 60", "plain-56": "fail", "resnet-20": None, "resnet-56": float("nan")}
        figure = draw_curves(by_net(), published=published)
        assert marks_of(figure.axes[0]) == {} and "published, another protocol" not in key_of(figure)

    def test_the_axis_reaches_to_them(self):
        figure = draw_curves(by_net(), published={"plain-20": 95.0})
        assert figure.axes[0].get_ylim()[1] > 95

    def test_equal_ones_are_side_by_side(self):
        axes = laid_out(draw_curves(by_net(), published=dict.fromkeys(NETS, 9.0))).axes[0]
        places = [line.get_transform().transform((1, 9))[0] for line in axes.lines if line.get_marker() == "D"]
        assert min(np.diff(places)) > 7 / 72 * axes.figure.dpi

    def test_labels_begin_right_of_them(self):
        figure = draw_curves(by_net(), published=dict.fromkeys(NETS, 14.0))
        labels = labels_of(figure)
        marks = [line for line in figure.axes[0].lines if line.get_marker() == "D"]
        edge = max(line.get_transform().transform((1, 14))[0] for line in marks) + 3.5 / 72 * figure.dpi
        assert min(Text.get_window_extent(label, figure._get_renderer()).x0 for label in labels) > edge

    def test_the_mark_of_several_seeds_is_one(self):
        axes = draw_curves(by_seed(), SEEDS, published={"resnet-20": 8.75}).axes[0]
        assert [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "D"] == [8.75]

    def test_the_alternative_text_has_them(self):
        plot = curves_of(by_net(), {}, published={"resnet-20": 8.75, "plain-20": "fail"})
        assert plot.image.alt.endswith("Published, by another protocol: resnet-20 8.75%.")


class TestPanels:
    def test_networks_are_in_their_panels_with_the_same_axes_and_equal_labels_share_a_colour(self):
        figure = laid_out(draw_curves(by_net(), panels=PANELS, published={"resnet-20": 8.75, "plain-20": 95.0}))
        plain, residual = figure.axes
        assert [axes.get_title(loc="left") for axes in figure.axes] == ["plain", "resnet"]
        assert plain.get_ylim() == residual.get_ylim() and plain.get_ylim()[0] == 0 and plain.get_ylim()[1] > 95
        assert plain.get_xlim() == residual.get_xlim()
        assert [text.get_text() for text in labels_of(figure)] == [
            "20 layers\n17.0%",
            "56 layers\n42.0%",
            "20 layers\n14.7%",
            "56 layers\n12.9%",
        ]
        colours = [[line.get_color() for line in curves_in(axes)[1::2]] for axes in figure.axes]
        assert colours == [list(COLOURS[:2])] * 2
        assert marks_of(residual) == {COLOURS[0]: 8.75} and marks_of(plain) == {COLOURS[0]: 95.0}
        assert (plain.get_ylabel(), residual.get_ylabel()) == ("error (%)", "")

    def test_colours_stay_where_rows_were_not_run(self):
        [axes] = draw_curves({"resnet-56": rows(3)}, panels=PANELS).axes
        assert {line.get_color() for line in axes.lines} == {COLOURS[1]}

    def test_seeds_are_bands_of_their_network(self):
        figure = draw_curves(by_seed(), SEEDS, seeds=SEEDS, panels=PANELS)
        for axes, first in zip(figure.axes, (0, 2), strict=True):
            assert [line.get_ydata()[-1] for line in axes.lines[1::2]] == pytest.approx(
                [10.5 + 10 * first, 20.5 + 10 * first]
            )
            assert len(axes.collections) == 4
        assert "± standard deviation" in key_of(figure)

    def test_four_panels_are_in_two_rows(self):
        figure = draw_curves(by_net(), panels={net: (net, net) for net in NETS})
        assert len([axes for axes in figure.axes if axes.axison]) == 4


class TestAxes:
    def test_errors_begin_at_zero_and_epochs_fill_the_axis(self):
        axes = draw_curves(by_net()).axes[0]
        assert axes.get_ylim()[0] == 0 and axes.get_xlim() == (1, 14)

    def test_only_the_first_fifth_of_a_long_training_may_leave_the_axis(self):
        long = draw_curves({"net": metrics([90, 80, 70, 60, *[20] * 16])}).axes[0]
        assert 20 < long.get_ylim()[1] < 30
        late = draw_curves({"net": metrics([90, 80, 70, 60, *[20] * 15, 85])}).axes[0]
        assert late.get_ylim()[1] > 85
        short = draw_curves({"net": metrics([90, 80, 70, 60, 20])}).axes[0]
        assert short.get_ylim()[1] > 90

    def test_bands_are_inside(self):
        runs = {"a": metrics([10, 10]), "b": metrics([90, 90])}
        axes = draw_curves(runs, seeds=dict.fromkeys(runs, "net")).axes[0]
        assert axes.get_ylim()[1] > 50 + np.std([10, 90], ddof=1)

    def test_after_one_epoch_there_is_something_to_see(self):
        axes = draw_curves({"run": rows(1)}).axes[0]
        assert all(line.get_marker() == "o" for line in axes.lines)
        assert axes.get_xlim()[0] < 1 < axes.get_xlim()[1]
        assert ink(draw_curves({"run": rows(1)})) > ink(draw_curves({"run": [{"epoch": 1, "accuracy": None}]})) + 30

    def test_epochs_are_whole_numbers(self):
        for epochs in (1, 2, 3, 7, 200):
            figure = laid_out(draw_curves({"run": metrics([50] * epochs)}))
            low, high = figure.axes[0].get_xlim()
            assert all(tick == round(tick) for tick in figure.axes[0].get_xticks() if low <= tick <= high)

    def test_figures_that_were_no_numbers_are_gaps(self):
        run = rows(3)
        run[1]["accuracy"] = None
        line = draw_curves({"run": run}).axes[0].lines[0]
        assert np.isnan(line.get_ydata()).tolist() == [False, True, False]


def test_a_run_that_stopped_early_counts_until_then():
    runs = {"a": metrics([40, 20]), "b": metrics([60, 40, 30])}
    axes = draw_curves(runs, seeds=dict.fromkeys(runs, "net")).axes[0]
    assert axes.lines[1].get_ydata().tolist() == pytest.approx([50, 30, 30])


class TestStyles:
    def test_seeds_of_a_network_share_its_colour_and_differ_in_markers(self):
        styles = line_styles(["a 1", "a 2", "b 1", "b 2"], {"a 1": "a", "a 2": "a", "b 1": "b", "b 2": "b"})
        assert styles["a 1"]["color"] == styles["a 2"]["color"] != styles["b 1"]["color"] == styles["b 2"]["color"]
        assert len({(each["color"], each["marker"]) for each in styles.values()}) == 4
        assert {each["linestyle"] for each in styles.values()} == {"-"}

    def test_lines_beyond_the_colours_differ_in_markers(self):
        styles = line_styles(map(str, range(4 * len(COLOURS))))
        assert len({(each["color"], each["marker"]) for each in styles.values()}) == 4 * len(COLOURS)

    def test_markers_are_few(self):
        figure = draw_curves({"a": rows(100), "b": rows(100)}, {"a": "net", "b": "net"})
        second = figure.axes[0].lines[3]
        assert second.get_marker() == "o" and 5 <= len(second.get_markevery()) <= 12

    def test_panels_differ_in_dashes(self):
        styles = line_styles(NETS, None, PANELS)
        assert styles["plain-20"]["color"] == styles["resnet-20"]["color"] != styles["plain-56"]["color"]
        assert styles["plain-20"]["linestyle"] == styles["plain-56"]["linestyle"] != styles["resnet-20"]["linestyle"]


def ink(figure):
    """Pixels that are coloured, not grey."""
    pixels = np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB")).astype(int)
    return int((np.ptp(pixels, axis=-1) > 40).sum())
