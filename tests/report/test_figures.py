"""Every picture shows names as they are, whatever they are called, and says so where a character cannot be drawn."""

import ast
import io
import re
import warnings
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.legend import Legend
from PIL import Image

import reskeras
from reskeras.evaluation.accuracy import Evaluation
from reskeras.report import fonts
from reskeras.report.analysis_plots import draw_analyses
from reskeras.report.architecture import draw
from reskeras.report.curves import draw_curves, draw_losses
from reskeras.report.dots import Dots, draw_dots
from reskeras.report.figures import Figure, save_figure
from reskeras.report.fonts import drawable, shortened
from reskeras.report.legends import LONGEST_NAME
from reskeras.spaces.space import Domain
from reskeras.tasks.classification.confusion_plot import draw_confusion
from reskeras.tasks.detection.average_precision import ClassPrecision, VocPrecision, voc_precision
from reskeras.tasks.detection.by_map import ByMap, draw_by_map
from reskeras.tasks.detection.drawn_boxes import Mark, draw_boxes, draw_grid
from reskeras.tasks.detection.gains_plot import draw_gains
from reskeras.tasks.detection.mistakes import MistakeKind, mistakes
from reskeras.tasks.detection.model import LOSSES
from reskeras.tasks.detection.precision_plot import draw_precision
from reskeras.tuning import search_plot as search
from reskeras.tuning.objective import read_objective
from reskeras.tuning.outcome import Outcome
from tests.report.measured import analysed, png, rows
from tests.tasks.detection.scenes import drawn

NAMES = (
    "price_$1_$2",
    "$$",
    "US$ and AU$",
    "a_b^c",
    "<b>&amp;",
    "_hidden",
    "%s {0} \\frac{",
    "naïve café",
    "日本語",
    "x" * 300,
    "two\nlines",
    "\x1b[31mred\x07",
    "\u202egnp.exe",
    "-->",
)


def evaluated(classes, wrong=5):
    labels = np.repeat(np.arange(len(classes)), 10)
    predicted = labels.copy()
    predicted[:wrong] = (predicted[:wrong] + 1) % len(classes)
    return Evaluation(
        f"folder {classes[0]}",
        "test",
        len(labels),
        1.0,
        0.9,
        None,
        classes=tuple(classes),
        labels=labels,
        predicted=predicted,
        confidence=np.ones(len(labels)),
    )


def precise(names):
    objects, detections = drawn(np.random.default_rng(1), len(names), images=20)
    return voc_precision(detections, objects, tuple(names))


def limited(names):
    objects, detections = drawn(np.random.default_rng(1), 2, images=20)
    return {name: mistakes(detections, objects, ("a", "b")) for name in names}


def searched(names):
    domain = Domain(choices=list(names))
    outcomes = [
        Outcome(
            str(place),
            {names[1]: name},
            "completed",
            0.5 + place / 100,
            {"parameters": 100.0 * 2**place, "multiply_adds": 1e4},
        )
        for place, name in enumerate(names)
    ]
    objective = read_objective([])
    return [search._pareto(outcomes, objective, names[0]), search._effects(outcomes, objective, {names[1]: domain})]


def dotted(names):
    return [draw_dots([Dots("test error", {name: [10.0, 11.0] for name in names}, {names[0]: 9.0})], list(names))]


def by_size(names):
    sides = np.linspace(4, 300, 40 * len(names))
    return [draw_by_map(ByMap((4.0, 8.0), 0.5, sides, np.arange(len(sides)) % 3 - 1))]


FIGURES = {
    "dots": dotted,
    "maps": by_size,
    "confusion": lambda names: [draw_confusion(evaluated(names))],
    "curves": lambda names: [draw_curves({name: rows(3) for name in names})],
    "losses": lambda names: [draw_losses({name: rows(3, ("loss", *LOSSES)) for name in names}, LOSSES)],
    "precision": lambda names: [draw_precision(precise(names))],
    "gains": lambda names: [draw_gains(limited(names))],
    "analysis": lambda names: list(draw_analyses({name: analysed(name) for name in names}).values()),
    "search": searched,
}


@pytest.mark.sample(4)
@pytest.mark.parametrize("kind", FIGURES)
def test_any_name_is_drawn_as_it_is(kind, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of glyphs that a font has not, of layouts that have no room
        for place, figure in enumerate(FIGURES[kind](NAMES)):
            save_figure(figure, tmp_path / f"{place}.png")
            save_figure(figure, tmp_path / f"{place}.svg")
            ElementTree.parse(tmp_path / f"{place}.svg")  # control characters would make it no XML
    shown = {text.get_text().strip() for figure in FIGURES[kind](NAMES) for text in _drawn_texts(figure)}
    assert any("US$ and AU$" in text for text in shown) or kind in ("search", "maps")
    assert all("\x1b" not in text and "\n" not in text and "\u202e" not in text for text in shown)


def _drawn_texts(figure):
    figure.savefig(io.BytesIO(), format="png")
    ticks = [label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in axis.get_ticklabels()]
    legends = [text for legend in figure.findobj(Legend) for text in legend.get_texts()]
    for text in (*ticks, *legends):
        assert not text.get_parse_math() and not text.get_usetex()
    return [*ticks, *legends, *(axes.title for axes in figure.axes)]


COSTS, SCORES = (1.0, 2.0, 2.0, 3.0, 4.0, 4.0), (0.5, 0.4, 0.7, 0.6, 0.9, 0.9)


@pytest.mark.parametrize(("direction", "front", "turned"), [("max", [0, 2, 4], [5, 3, 0]), ("min", [0, 1], [5, 4])])
def test_on_the_front_are_the_trials_that_no_other_beats_and_of_equals_the_first(direction, front, turned):
    assert search.pareto_front(COSTS, SCORES, direction) == front
    assert search.pareto_front(COSTS[::-1], SCORES[::-1], direction) == turned


@pytest.mark.parametrize(
    ("objective", "label", "front"),
    [
        ("val_accuracy", "val_accuracy (higher is better)", [0, 2, 4]),
        ("val_loss", "val_loss (lower is better)", [0, 1]),
    ],
)
def test_the_front_that_is_drawn_goes_by_the_objectives_direction(objective, label, front):
    done = [
        Outcome(str(place), {}, "completed", score, {"parameters": cost, "multiply_adds": 10 * cost})
        for place, (cost, score) in enumerate(zip(COSTS, SCORES, strict=True))
    ]
    axes = search._pareto(done, read_objective([objective]), "a search").axes
    assert axes[0].get_ylabel() == label
    for axis, scale in zip(axes, (1, 10), strict=True):
        trials, line = axis.lines
        assert trials.get_xydata().tolist() == [
            [scale * cost, score] for cost, score in zip(COSTS, SCORES, strict=True)
        ]
        assert line.get_xydata().tolist() == [[scale * COSTS[place], SCORES[place]] for place in front]
        assert [text.get_text() for text in axis.texts] == list(map(str, front))


def test_every_class_of_a_confusion_matrix_has_its_name():
    figure = draw_confusion(evaluated(NAMES))
    figure.savefig(io.BytesIO(), format="png")
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    expected = [
        "price_$1_$2",
        "$$",
        "US$ and AU$",
        "a_b^c",
        "<b>&amp;",
        "_hidden",
        "%s {0} \\frac{",
        "naïve café",
        drawable("日本語")[0],
        shortened("x" * 300, LONGEST_NAME),
        r"two\nlines",
        r"\x1b[31mred\x07",
        r"\u202egnp.exe",
        "-->",
    ]
    assert ticks == expected


def test_a_drawn_network_has_any_name(tmp_path):
    plan = reskeras.plan(family="cifar", depth=8)
    for place, name in enumerate(NAMES):
        ElementTree.parse(draw(plan, name, tmp_path / f"{place}.svg"))


def test_pictures_with_boxes_have_any_name():
    pixels = np.zeros((200, 300, 3), np.uint8)
    for name in NAMES:
        marks = [Mark((50.0, 50.0, 150.0, 150.0), "#d55e00", name, "0.9")]
        assert np.asarray(draw_boxes(pixels, marks)).any()
        assert draw_grid([(name, pixels, marks, marks)]).width < 2000


def test_plots_leave_matplotlibs_settings_alone_and_are_not_changed_by_them():
    before = dict(matplotlib.rcParams)
    usual = png(draw_confusion(evaluated(["a", "b"])))
    with matplotlib.rc_context(
        {"text.usetex": True, "text.parse_math": True, "savefig.dpi": 40, "font.family": "serif"}
    ):
        assert png(draw_confusion(evaluated(["a", "b"]))) == usual
    assert dict(matplotlib.rcParams) == before


def test_only_one_place_makes_figures():
    package = Path(reskeras.__file__).parent
    for path in package.rglob("*.py"):
        if path == package / "report" / "figures.py":
            continue
        imported = [
            node.module for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)
        ]
        assert "matplotlib.figure" not in imported and "matplotlib.pyplot" not in imported, path


def test_only_one_place_names_colours():
    package = Path(reskeras.__file__).parent
    fills = {package / "plans" / "operation.py", package / "plans" / "operations.py"}  # of operations in diagrams
    for path in {*package.rglob("*.py")} - fills - {package / "report" / "styles.py"}:
        assert not re.findall(r"#[0-9a-fA-F]{6}\b", path.read_text("utf-8")), path


class TestFonts:
    def test_a_character_that_no_font_has_is_an_escape(self):
        assert drawable("日本 cat", families=()) == (r"\u65e5\u672c cat", ("DejaVu Sans",))
        assert drawable("\U0001f63a", families=())[0] in ("\U0001f63a", r"\U0001f63a")

    def test_an_installed_font_that_has_it_is_used(self, tmp_path, monkeypatch):
        path = _font_of_blocks(tmp_path / "blocks.ttf", "日本")
        monkeypatch.setattr(fonts, "_files", lambda: {fonts.USUAL: _file_of_dejavu(), "Blocks": str(path)})
        fonts._characters.cache_clear()
        try:
            assert drawable("日本 cat") == ("日本 cat", ("DejaVu Sans", "Blocks"))
            assert drawable("日語") == (r"日\u8a9e", ("DejaVu Sans", "Blocks"))
            written, font = fonts.picture_font(["日本"], 40)
            assert written == {"日本": "日本"}
            assert np.asarray(font.getmask("日")).reshape(-1).any()
        finally:
            fonts._characters.cache_clear()

    def test_a_figure_draws_with_it(self, tmp_path, monkeypatch, caplog):
        from matplotlib.font_manager import FontEntry, fontManager

        path = _font_of_blocks(tmp_path / "blocks.ttf", "日本")
        monkeypatch.setattr(fonts, "_files", lambda: {fonts.USUAL: _file_of_dejavu(), "Blocks": str(path)})
        monkeypatch.setattr(
            fontManager,
            "ttflist",
            [
                *fontManager.ttflist,
                FontEntry(
                    str(path),
                    name="Blocks",
                    style="normal",
                    variant="normal",
                    weight=400,
                    stretch="normal",
                    size="scalable",
                ),
            ],
        )
        fonts._characters.cache_clear()
        try:
            figure = Figure(2, 1, layout=None)
            figure.text(0.5, 0.5, "日日日", ha="center", va="center", fontsize=30, fontweight="bold")
            dark = np.asarray(Image.open(io.BytesIO(png(figure))).convert("L")) < 100
            assert dark.mean() > 0.2  # whole blocks, not the outlines of a missing glyph
            assert not caplog.records  # of a weight that the font has not
        finally:
            fonts._characters.cache_clear()


def _file_of_dejavu():
    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


def _font_of_blocks(path, characters):
    """A font in which each of some characters is a full block."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    def block(side):
        pen = TTGlyphPen(None)
        if side:
            pen.moveTo((0, 0))
            for corner in ((0, side), (side, side), (side, 0)):
                pen.lineTo(corner)
            pen.closePath()
        return pen.glyph()

    names = [".notdef", *(f"uni{ord(each):04X}" for each in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(each): name for each, name in zip(characters, names[1:], strict=True)})
    builder.setupGlyf({name: block(0 if name == ".notdef" else 900) for name in names})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Blocks", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900)
    builder.setupPost()
    builder.save(path)
    return path


def test_gains_are_what_mending_adds():
    one = replace(
        limited(["one"])["one"],
        map_area=0.25,
        table=(
            MistakeKind("confused", 3, 1, 0.75),
            MistakeKind("background", 0, 0, 0.25),
            MistakeKind("missed", 1200, None, 0.375),
        ),
    )
    axis = draw_gains({"one": one, "other": replace(one, map_area=0.125)}).axes[0]
    assert [[bar.get_width() for bar in bars] for bars in axis.containers] == [[50, 0, 12.5], [62.5, 12.5, 25]]
    assert [text.get_text().strip() for text in axis.texts][:3] == ["50.0 (3)", "0.0 (0)", "12.5 (1,200)"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["confused", "background", "missed"]


def test_a_choice_has_its_trials_and_their_mean():
    scores = {"a": (0.5, 0.75), "b": (0.25,)}
    outcomes = [
        Outcome(str(place), {"x": choice}, "completed", score, {})
        for place, (choice, score) in enumerate((choice, score) for choice, those in scores.items() for score in those)
    ]
    figure = search._effects(outcomes, read_objective([]), {"x": Domain(choices=["b", "a"])})
    [dots], means = figure.axes[0].lines, figure.axes[0].collections
    assert sorted(dots.get_xydata().tolist()) == [[0, 0.25], [1, 0.5], [1, 0.75]]
    assert [line.get_segments()[0][0][1] for line in means] == [0.25, 0.625]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["b", "a"]


class TestConfusion:
    def test_shares_are_of_the_true_class(self):
        labels = np.repeat([0, 1], [10, 40])
        predicted = labels.copy()
        predicted[:2], predicted[10:14] = 1, 0
        result = Evaluation(
            "d",
            "test",
            50,
            0.1,
            0.88,
            None,
            classes=("a", "b"),
            labels=labels,
            predicted=predicted,
            confidence=np.ones(50),
        )
        axis = draw_confusion(result).axes[0]
        hits, wrong = axis.images
        np.testing.assert_allclose(np.diag(hits.get_array()), [0.8, 0.9])
        assert (wrong.get_array()[0, 1], wrong.get_array()[1, 0]) == pytest.approx((0.2, 0.1))
        assert {text.get_position(): text.get_text() for text in axis.texts} == {
            (0, 0): "8",
            (1, 0): "2",
            (0, 1): "4",
            (1, 1): "36",
        }
        assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted class", "true class")

    def test_few_mistakes_stand_out(self):
        """One image in a hundred that is taken for another is told from none at a glance."""
        labels = np.repeat(np.arange(10), 100)
        predicted = labels.copy()
        predicted[5] = 7
        result = Evaluation(
            "d",
            "test",
            1000,
            0.1,
            0.999,
            None,
            classes=tuple("abcdefghij"),
            labels=labels,
            predicted=predicted,
            confidence=np.ones(1000),
        )
        hits, wrong = draw_confusion(result).axes[0].images
        colours = wrong.to_rgba(wrong.get_array())
        assert np.abs(colours[0, 7, :3] - 1).max() > 0.5 and wrong.get_array().mask[0, 6]
        assert hits.get_array().mask[0, 7] and not hits.get_array().mask[0, 0]

    def test_the_scale_of_mistakes_follows_the_worst(self):
        _, few = draw_confusion(evaluated(["a", "b", "c"], wrong=1)).axes[0].images
        _, many = draw_confusion(evaluated(["a", "b", "c"], wrong=8)).axes[0].images
        assert (few.norm.vmax, many.norm.vmax) == pytest.approx((0.1, 0.8))


def test_a_class_with_a_single_detection_is_a_dot():
    one = ClassPrecision("a", 3, np.array([1.0]), np.array([0.3]), np.array([0.9]), np.array([0]), 0.3, 0.3)
    [line] = draw_precision(VocPrecision(0.5, (one,), 0.3, 0.3)).axes[0].lines
    assert line.get_marker() == "o"
