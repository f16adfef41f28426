"""Claims about drawings: one file of sensible size for any plan, equal units shown once, nothing half-written."""

from __future__ import annotations

import pytest
from PIL import Image

from reskeras.errors import ReskerasError
from reskeras.report.architecture import _items, draw
from reskeras.spec import operations as op
from reskeras.spec.merges import Concat, Multiply, ScaledAdd
from reskeras.spec.nodes import Fork
from reskeras.spec.plan import Plan, Unit
from reskeras.spec.request import plan


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

    squeeze = Fork(name="se", merge=Multiply(), branches=((), (op.GlobalPool(name="pool", keep_positions=True),
                                                             conv(8), op.Sigmoid(name="sigmoid"))))
    cell = Fork(name="cell", merge=Concat(), branches=((conv(4),), (conv(2), conv(4)), ()))
    inside = Fork(name="add", merge=ScaledAdd(factors=(1.0, 0.2)), branches=((), (conv(8), squeeze)))
    odd = Plan(units=(Unit(stage="stem", nodes=(conv(8),)), Unit(stage=1, index=1, nodes=(inside, cell))),
               input_shape=(8, 8, 3))
    assert draw(odd, "odd", tmp_path / "odd.png").is_file()


def test_a_file_that_cannot_be_is_refused_before_drawing(tmp_path):
    for path in (tmp_path / "net.gif", tmp_path / "missing" / "net.png", tmp_path):
        with pytest.raises(ReskerasError, match="plot: "):
            draw(plan("resnet-18"), "resnet-18", path)
