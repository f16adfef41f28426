"""The look that all plots share: colours, sizes, ticks, labels inside the figure, whatever the user's settings are."""

from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text

from reskeras.recipes.recipe import recipe as load_recipe
from reskeras.report.analysis_plots import draw_analyses
from reskeras.report.architecture import draw
from reskeras.report.confusion import HITS, MISTAKES, PALEST_OF_HITS
from reskeras.report.curves import draw_curves, draw_losses
from reskeras.report.figures import Figure
from reskeras.report.plots import curves_of, networks_by_plan
from reskeras.report.sections import LARGE, drawing, plot
from reskeras.report.styles import BRIGHT, COLOURS, HATCHES, MARKERS, bar_style, line_styles
from reskeras.tasks.detection.gains_plot import draw_gains
from reskeras.tasks.detection.model import LOSSES
from reskeras.tasks.detection.precision_plot import draw_precision
from reskeras.tasks.run import Material, seeds_of
from tests.report.colour_vision import VISION, lab, nearest, on_white
from tests.report.measured import analysed, laid_out, metrics, png, rows
from tests.report.test_figures import FIGURES, NAMES, limited, precise

PHONE = 390  # pixels
NETWORKS = {"first": "first", "second": "second", "again": "first", "third": "third"}
SEEDS = {"a 0": "a", "a 1": "a"}
USUAL = ("plain-20", "resnet-20", "resnet-56", "a class of objects")


class TestColours:
    @pytest.mark.parametrize("vision", VISION)
    @pytest.mark.parametrize(("colours", "least"), [(COLOURS, 12), (BRIGHT, 10)])
    def test_any_two_are_told_apart(self, colours, least, vision):
        assert nearest(colours, vision) > least

    def test_those_of_labels_stand_out_on_white(self):
        assert min(map(on_white, COLOURS)) > 3.5

    @pytest.mark.parametrize("vision", VISION)
    def test_what_is_right_is_told_from_mistakes_of_any_share(self, vision):
        right = [matplotlib.colormaps[HITS](share)[:3] for share in np.linspace(0.3, 1, 5) * PALEST_OF_HITS]
        wrong = [matplotlib.colormaps[MISTAKES](share)[:3] for share in np.linspace(0.1, 1, 10)]
        assert min(np.linalg.norm(lab(one, vision) - lab(other, vision)) for one in right for other in wrong) > 12

    def test_mistakes_outshine_the_diagonal(self):
        white = lab("#ffffff")
        worst, best = matplotlib.colormaps[MISTAKES](1.0)[:3], matplotlib.colormaps[HITS](PALEST_OF_HITS)[:3]
        assert np.linalg.norm(lab(worst) - white) > 1.5 * np.linalg.norm(lab(best) - white)


class TestOneColourANetwork:
    def colours(self, names):
        return {name: style["color"] for name, style in line_styles(names, NETWORKS).items()}

    def test_it_does_not_depend_on_which_runs_are_in_a_plot(self):
        everything = self.colours(NETWORKS)
        assert everything["first"] == everything["again"] and len(set(everything.values())) == 3
        for names in (["third"], ["third", "again"], ["second", "third"]):
            assert self.colours(names) == {name: everything[name] for name in names}

    def test_it_is_the_same_in_all_plots_of_a_page(self):
        curves = draw_curves({"second": rows(3)}, NETWORKS).axes[0].lines[-1]
        analysis = draw_analyses({"second": analysed("second")}, NETWORKS)["responses"].axes[0].lines[0]
        losses = draw_losses({"second": rows(3, ("loss", *LOSSES))}, LOSSES, NETWORKS).axes[0].lines[-1]
        [bars] = draw_gains(limited(["second"]), NETWORKS).axes[0].containers
        drawn = [curves.get_color(), analysis.get_color(), losses.get_color()]
        assert drawn == [COLOURS[1]] * 3
        assert matplotlib.colors.to_hex(bars[0].get_facecolor()) == COLOURS[1]

    def test_runs_without_curves_keep_their_place(self):
        networks = networks_by_plan({"untrained": "one plan", "trained": "another"})
        figures = []

        def drawn(title, figure, *texts):
            figures.append(figure)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("reskeras.report.plots.plot", drawn)
            curves_of({"untrained": [], "trained": rows(3)}, networks)
        assert {line.get_color() for line in figures[0].axes[0].lines} == {COLOURS[1]}

    def test_bars_of_equal_networks_differ_in_hatches_as_lines_in_markers(self):
        styles = line_styles(["first", "again", "second"], NETWORKS)
        one, again, other = (bar_style(style) for style in styles.values())
        assert one["color"] == again["color"] != other["color"]
        assert one["hatch"] == other["hatch"] != again["hatch"]
        assert len(set(HATCHES)) == len(MARKERS)

    def test_a_class_has_one_colour_whatever_its_precision(self):
        found = precise(["a", "b", "c"])
        reversed_ranks = type(found)(
            found.overlap,
            tuple(type(each)(*(vars(each) | {"area": 1 - each.area}).values()) for each in found.classes),
            found.map_area,
            found.map_eleven,
        )
        one, other = (
            {line.get_label().rsplit(" ", 1)[0]: line.get_color() for line in draw_precision(each).axes[0].lines}
            for each in (found, reversed_ranks)
        )
        assert one == other and len(set(one.values())) == len(one) > 1


class TestSeeds:
    def test_losses_of_seeds_are_bands(self):
        runs = {name: rows(3, ("loss", *LOSSES)) for name in (*SEEDS, "b")}
        figure = draw_losses(runs, LOSSES, {**SEEDS, "b": "b"}, SEEDS)
        assert len(figure.axes[0].lines) == 4 and len(figure.axes[0].collections) == 2
        told = [text.get_text() for text in figure.legends[0].get_texts()]
        assert sorted(told) == ["a", "b", "test or held out", "training", "± standard deviation"]

    def material(self, name, plan="a plan", seed=0, data="digits", **changes):
        recipe = load_recipe("quick").model_copy(update={"seed": seed, **changes})
        return Material(name, "", plan, (), [], {"data": {"name": data, "data_dir": name}}, None, recipe=recipe)

    def test_runs_that_differ_in_their_seeds_only_are_one_line(self):
        one, other, third = (self.material(f"run {seed}", seed=seed) for seed in range(3))
        assert seeds_of([one, other, third]) == dict.fromkeys(["run 0", "run 1", "run 2"], "run 0 and 2 more")
        assert seeds_of([one]) == {}

    @pytest.mark.parametrize(
        "change", [{"plan": "another"}, {"data": "cifar10"}, {"epochs": 99}, {"seed": 0}, {"batch_size": 7}]
    )
    def test_runs_that_differ_otherwise_are_lines_of_their_own(self, change):
        assert seeds_of([self.material("one"), self.material("other", **{"seed": 1, **change})]) == {}

    def test_a_run_without_a_recipe_is_a_line_of_its_own(self):
        ported = replace(self.material("ported", seed=1), recipe=None)
        assert seeds_of([self.material("one"), ported]) == {}


class TestTicks:
    @pytest.mark.parametrize("count", [1, 2, 3, 7, 200])
    def test_epochs_layers_and_units_are_whole_numbers(self, count):
        figures = [
            draw_curves({"run": rows(min(count, 40)) if count < 40 else metrics([50] * count)}),
            draw_losses({"run": [{"epoch": place + 1, "loss": 1.0} for place in range(count)]}, []),
            *draw_analyses({"run": analysed("run", count, spread=1.01)}).values(),
        ]
        for figure in map(laid_out, figures):
            for axes in figure.axes:
                if axes.axison:
                    low, high = axes.get_xlim()
                    inside = [tick for tick in axes.get_xticks() if low <= tick <= high]
                    assert inside and all(tick == round(tick) for tick in inside)


class TestOneEpoch:
    def test_dots_of_training_and_test_images_differ_and_are_not_cut_off(self):
        figure = laid_out(draw_losses({"run": rows(1, ("loss", *LOSSES))}, LOSSES))
        for axes in figure.axes[: 1 + len(LOSSES)]:
            training, watched = axes.lines
            assert training.get_marker() == watched.get_marker() == "o"
            assert training.get_markerfacecolor() != watched.get_markerfacecolor()
            frame = axes.get_window_extent()
            for line in axes.lines:
                [[_, y]] = axes.transData.transform(line.get_xydata())
                radius = line.get_markersize() / 2 * figure.dpi / 72
                assert frame.y0 + radius < y < frame.y1 - radius
        assert {line.get_marker() for line in figure.legends[0].get_lines()} == {"o"}

    def test_the_key_of_more_epochs_has_lines(self):
        figure = draw_losses({"run": rows(2, ("loss", *LOSSES))}, LOSSES)
        assert {line.get_marker() for line in figure.legends[0].get_lines()} == {"None"}


def texts_of(figure):
    """The visible texts of a figure that was drawn, and their places in pixels."""
    renderer = figure._get_renderer()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return {text: Text.get_window_extent(text, renderer) for text in texts}


@pytest.mark.parametrize("names", [USUAL, NAMES], ids=["usual", "any"])
@pytest.mark.parametrize("kind", FIGURES)
def test_all_texts_are_inside_the_figure(kind, names):
    for figure in map(laid_out, FIGURES[kind](list(names))):
        width, height = figure.bbox.width, figure.bbox.height
        for text, place in texts_of(figure).items():
            if not _is_unused_tick(text, figure):
                assert place.x0 >= -1 and place.x1 <= width + 1, (text.get_text(), place, width)
                assert place.y0 >= -1 and place.y1 <= height + 1, (text.get_text(), place, height)


def _is_unused_tick(text, figure):
    """Whether a text is a tick's that is outside of its axis, and so not drawn."""
    for axes in figure.axes:
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            if not axes.axison and text in axis.findobj(Text):
                return True
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if text in (tick.label1, tick.label2):
                    low, high = sorted(limits)
                    return not low - 1e-9 <= tick.get_loc() <= high + 1e-9
    return False


@pytest.mark.parametrize("kind", FIGURES)
def test_texts_can_be_read_on_a_phone(kind):
    for figure in map(laid_out, FIGURES[kind](list(USUAL))):
        assert figure.get_size_inches()[0] * 96 <= LARGE
        scale = PHONE / figure.bbox.width
        sizes = {text.get_text(): text.get_fontsize() * figure.dpi / 72 * scale for text in texts_of(figure)}
        assert min(sizes.values()) > 8, sizes


def test_a_figure_that_is_wider_is_large_on_the_page():
    assert not plot("t", draw_curves({"a": rows(2)}), "a plot").large
    figure = Figure(12, 2)
    figure.subplots()
    wide = plot("t", figure, "a plot")
    assert wide.large and wide.width == 12 * 96


def test_a_diagram_is_large_sooner_as_its_texts_are_smaller():
    def saved(path):
        figure = Figure(6, 2)
        figure.subplots()
        figure.savefig(path)
        return path

    assert drawing("t", saved, "a diagram").large


HOSTILE = {
    "font.size": 31.0,
    "font.weight": "bold",
    "axes.facecolor": "black",
    "figure.facecolor": "red",
    "axes.grid": False,
    "axes.spines.top": True,
    "axes.titlesize": 3.0,
    "axes.titlelocation": "right",
    "axes.prop_cycle": matplotlib.cycler(color=["green"]),
    "lines.linewidth": 9.0,
    "lines.marker": "x",
    "legend.frameon": True,
    "legend.fontsize": 4.0,
    "xtick.labelsize": 22.0,
    "axes.xmargin": 0.4,
    "image.cmap": "jet",
    "savefig.facecolor": "yellow",
    "savefig.transparent": True,
    "text.color": "white",
    "hatch.linewidth": 5.0,
    "patch.edgecolor": "red",
    "patch.force_edgecolor": True,
}


@pytest.mark.parametrize("kind", FIGURES)
def test_a_users_settings_change_no_plot(kind):
    usual = [png(figure) for figure in FIGURES[kind](list(USUAL))]
    with matplotlib.rc_context(HOSTILE):
        assert [png(figure) for figure in FIGURES[kind](list(USUAL))] == usual


def test_a_users_settings_change_no_diagram(tmp_path):
    import reskeras

    plan = reskeras.plan(family="cifar", depth=8)
    usual = draw(plan, "a net", tmp_path / "usual.png").read_bytes()
    with matplotlib.rc_context(HOSTILE):
        assert draw(plan, "a net", tmp_path / "other.png").read_bytes() == usual
