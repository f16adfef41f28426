"""Claims about drawings: one file of sensible size for any plan, equal units shown once, nothing half-written."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from PIL import Image

from reskeras.errors import ReskerasError
from reskeras.networks.request import plan
from reskeras.plans import operations as op
from reskeras.plans.merges import Concat, Multiply, ScaledAdd
from reskeras.plans.nodes import Fork
from reskeras.plans.plan import Plan, Unit
from reskeras.report import figures
from reskeras.report.architecture import _items, draw


@pytest.mark.parametrize("name", ["cifar-resnet-20", "vgg-19", "cifar-resnet-1202"])
def test_a_drawing_is_large_enough_to_read_and_small_enough_to_open(tmp_path, name):
    with Image.open(draw(plan(name), name, tmp_path / "net.png")) as image:
        assert 800 < image.width < 4000
        assert 500 < image.height < 4000
    assert [path.name for path in tmp_path.iterdir()] == ["net.png"]


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_drawings_for_print(tmp_path, suffix):
    path = draw(plan("resnet-18"), "resnet-18", tmp_path / f"net{suffix}")
    assert path.stat().st_size > 5000


def test_long_runs_show_first_and_last_and_count_the_rest():
    items = [item for item in _items(plan("cifar-resnet-110")) if item.stage == "stage1"]
    assert [(item.name, item.more) for item in items] == [("unit 1", 0), ("unit 2 to unit 17", 16), ("unit 18", 0)]


def test_short_runs_are_drawn_unit_by_unit():
    assert len(list(_items(plan("resnet-34")))) == len(plan("resnet-34").units)


def test_drop_path_rates_do_not_make_units_different_to_look_at():
    assert len(list(_items(plan("cifar-resnet-1202", drop_path=0.2)))) < 15


def test_forks_of_other_families_are_drawn(tmp_path):
    def conv(filters: int) -> op.Conv:
        return op.Conv(name="conv", filters=filters, kernel=(1, 1))

    squeeze = Fork(
        name="se",
        merge=Multiply(),
        branches=((), (op.GlobalPool(name="pool", keep_positions=True), conv(8), op.Sigmoid(name="sigmoid"))),
    )
    cell = Fork(name="cell", merge=Concat(), branches=((conv(4),), (conv(2), conv(4)), ()))
    inside = Fork(name="add", merge=ScaledAdd(factors=(1.0, 0.2)), branches=((), (conv(8), squeeze)))
    odd = Plan(
        units=(Unit(stage="stem", nodes=(conv(8),)), Unit(stage=1, index=1, nodes=(inside, cell))),
        input_shape=(8, 8, 3),
    )
    assert draw(odd, "odd", tmp_path / "odd.png").is_file()


def test_a_file_that_cannot_be_is_refused_before_drawing(tmp_path):
    for path in (tmp_path / "net.gif", tmp_path / "missing" / "net.png", tmp_path):
        with pytest.raises(ReskerasError, match="plot: "):
            draw(plan("resnet-18"), "resnet-18", path)


class Drawing:
    """What stands in a drawing: its texts with how often, its boxes by top, its lines."""

    def __init__(self, axes):
        self.placed = [(text.get_text(), *text.get_position()) for text in axes.texts if text.get_text()]
        self.texts = Counter(text for text, _, _ in self.placed)
        patches = [patch for patch in axes.patches if patch.get_zorder() >= 3]
        self.boxes = [patch for patch in patches if isinstance(patch, FancyBboxPatch)]
        self.merges = [patch for patch in patches if isinstance(patch, Circle)]
        self.lines = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]

    @property
    def dashed(self):
        return [line for line in self.lines if line.get_linestyle() == "--"]

    def beside_merges(self, text):
        """How many merges have a text to their right, hardly lower than they are."""
        return sum(
            any(
                words == text and 0 < x - merge.center[0] < 0.5 and 0 <= y - merge.center[1] < 0.1
                for words, x, y in self.placed
            )
            for merge in self.merges
        )


@pytest.fixture
def drawing(monkeypatch, tmp_path):
    """A function from a plan to its Drawing."""

    def made(plan: Plan, title: str = "a title") -> Drawing:
        kept = []
        monkeypatch.setattr(figures, "save_figure", lambda figure, path: kept.append(figure))
        draw(plan, title, tmp_path / "net.png")
        return Drawing(kept[0].axes[0])

    return made


SHORTCUTS, GATES = "shortcuts: solid keeps the shape, dashed changes it", "s shortcut, r residual, g gate"


def test_resnet_18_is_drawn_as_v1_table_1_has_it(drawing):
    found = drawing(plan("resnet-18"), "my network")
    expected = {
        "my network": 1,
        "input 224x224x3,  11.7 M parameters,  1.81 G multiply-adds": 1,
        "7x7 conv, 64, /2": 1,
        "3x3 max pool, /2": 1,
        "3x3 conv, 64": 4,
        "3x3 conv, 128, /2": 1,
        "3x3 conv, 128": 3,
        "3x3 conv, 256, /2": 1,
        "3x3 conv, 256": 3,
        "3x3 conv, 512, /2": 1,
        "3x3 conv, 512": 3,
        "1x1 conv, 128, /2": 1,
        "1x1 conv, 256, /2": 1,
        "1x1 conv, 512, /2": 1,
        "bn": 1 + 16 + 3,
        "relu": 1 + 16,
        "+": 8,
        "global average pool": 1,
        "dense, 1000": 1,
        "unit 1": 4,
        "unit 2": 4,
        "stem": 1,
        "stage 1": 1,
        "stage 2": 1,
        "stage 3": 1,
        "stage 4": 1,
        "head": 1,
        SHORTCUTS: 1,
    }
    shapes = {"56x56x64", "28x28x128", "14x14x256", "7x7x512", "1000"}  # again where a stage goes on in another column
    assert shapes <= found.texts.keys()
    assert {
        text: count
        for text, count in found.texts.items()
        if text not in shapes and not text.startswith("\u2026 stage ")
    } == expected
    assert len(found.merges) == 8


@pytest.mark.parametrize(
    ("fields", "solid", "dashed"),
    [({"shortcut": "A"}, 5, 3), ({"shortcut": "B"}, 5, 3), ({"shortcut": "C"}, 0, 8), ({"skip": "dropout"}, 5, 3)],
)
def test_shortcuts_that_change_the_shape_are_dashed(drawing, fields, solid, dashed):
    found = drawing(plan(family="imagenet", depth=18, **fields))
    assert len(found.merges) == solid + dashed
    assert len(found.dashed) == 2 * dashed  # into what is on the shortcut, and out of it
    assert found.texts[SHORTCUTS] == 1


def test_a_plain_network_has_no_shortcuts_to_explain(drawing):
    found = drawing(plan("plain-34"))
    assert not found.merges and not found.dashed
    assert not {SHORTCUTS, GATES, "+"} & set(found.texts)
    assert found.texts["3x3 conv, 512"] == 5


@pytest.mark.parametrize(
    ("skip", "formula"), [("exclusive_gate", "(1 - g) s + g r"), ("shortcut_gate", "(1 - g) s + r")]
)
def test_gated_units_have_their_formula_at_the_merge(drawing, skip, formula):
    found = drawing(plan(family="cifar", stages=[2, 2], skip=skip))
    assert len(found.merges) == found.beside_merges(formula) == found.texts[formula] == 4
    assert found.texts["sigmoid"] == 4
    assert found.texts[f"{SHORTCUTS};  {GATES}"] == 1
    assert not found.texts.keys() & ({"(1 - g) s + g r", "(1 - g) s + r"} - {formula})


def test_scaled_units_have_both_factors_at_the_merge(drawing):
    found = drawing(plan(family="cifar", stages=[2], skip={"kind": "scale", "shortcut": 0.25, "residual": 0.75}))
    assert len(found.merges) == found.beside_merges("\u00d7 0.25") == 2  # the shortcut comes from the right
    assert found.texts["\u00d7 0.75"] == 2 and not found.beside_merges("\u00d7 0.75")
    assert GATES not in found.texts


def test_what_is_left_out_of_a_long_run_is_counted(drawing):
    found = drawing(plan("cifar-resnet-110"))
    assert found.texts["16 more, identical"] == 1 and found.texts["unit 2 to unit 17"] == 1
    assert found.texts["15 more, identical"] == 2 and found.texts["unit 3 to unit 17"] == 2
    assert found.texts["unit 18"] == 3
    assert len(found.merges) == 2 + 3 + 3
    assert not [text for text in drawing(plan("cifar-resnet-32")).texts if "more" in text]


def test_gates_of_squeeze_and_excitation_and_concatenations_have_their_signs(drawing):
    found = drawing(plan(family="imagenet", stages=[1, 1], block="bottleneck", squeeze=16))
    assert (found.texts["\u00d7"], found.texts["+"], len(found.merges)) == (2, 2, 4)
    cells = drawing(plan(inception="v4", stem="small", cells=[1, 1, 1]))
    assert cells.texts["concat"] > 3 and not cells.merges


@pytest.mark.parametrize(
    "fields",
    [
        {"family": "imagenet", "depth": 34},
        {"family": "cifar", "stages": [2, 1], "skip": "exclusive_gate"},
        {"family": "imagenet", "stages": [1, 2], "block": "bottleneck", "squeeze": 16, "projection": "pooled"},
        {"inception": "resnet-v2", "stem": "small", "cells": [1, 1, 1]},
    ],
    ids=str,
)
def test_no_box_lies_on_another_and_each_has_its_words_in_its_middle(drawing, fields):
    found = drawing(plan(**fields))
    spans = [(*box.get_bbox().min, *box.get_bbox().max) for box in found.boxes]
    assert len(spans) > 15
    for one, other in combinations(spans, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    for left, top, right, bottom in spans:
        inside = [x for _, x, y in found.placed if left < x < right and top < y < bottom]
        assert inside == pytest.approx([(left + right) / 2])
