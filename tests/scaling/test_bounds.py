"""Claims about bounds: above everything published and not absurdly so, and each formula against another way."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

import reskeras
from reskeras.errors import ReskerasError
from reskeras.networks.overrides import laid_over
from reskeras.recipes.recipe import recipe
from reskeras.scaling.accelerators import ACCELERATORS
from reskeras.scaling.bounds import CIFAR, IMAGENET, Conditions, read_cluster, ring_bytes, step_bound
from reskeras.scaling.step import step_work
from tests.scaling.published import PUBLISHED

ROOT = Path(__file__).parents[2]
RESNET_50 = reskeras.plan("resnet-50")


@pytest.mark.parametrize(("network", "device", "cluster", "each", "precision", "published", "source"), PUBLISHED)
def test_the_bound_is_above_what_was_published_and_near_it(
    network, device, cluster, each, precision, published, source
):
    chosen = recipe("modern-imagenet", precision=precision)
    bound = step_bound(reskeras.plan(**network), cluster, device, chosen, each)
    assert bound.precision == precision
    assert 1 < bound.images_per_second / published < 5, source
    assert bound.each <= bound.fitting  # it was trained, so it has to fit


def ring(members, size):
    """The numbers that each member sends in a ring all-reduce of vectors of `size`, done chunk by chunk."""
    chunk = size // members
    held = [[float(member + place) for place in range(size)] for member in range(members)]
    expected, sent = [sum(column) for column in zip(*held, strict=True)], [0] * members
    for phase in ("reduce", "gather"):
        for turn in range(members - 1):
            moving = []
            for member in range(members):
                which = (member - turn + (phase == "gather")) % members
                part = range(which * chunk, (which + 1) * chunk)
                moving.append(((member + 1) % members, part, [held[member][place] for place in part]))
                sent[member] += chunk
            for to, part, values in moving:
                for place, value in zip(part, values, strict=True):
                    held[to][place] = held[to][place] + value if phase == "reduce" else value
    assert all(each == expected for each in held)
    return sent


@pytest.mark.parametrize("members", [1, 2, 3, 8])
def test_a_ring_sends_what_the_formula_says(members):
    assert ring(members, 24) == [ring_bytes(24, members)] * members


def test_each_part_is_work_over_its_peak():
    bound = step_bound(RESNET_50, "8x4", "a100-80", "modern-imagenet", 64, Conditions(bandwidth=200, cores=32))
    gradients = 4 * (25_557_032 + 53_120)
    assert bound.recipe.batch_size == 8 * 4 * 64
    assert bound.seconds["compute"] == pytest.approx(64 * 2 * step_work(RESNET_50).multiply_adds / 312e12)
    assert bound.seconds["traffic"] == pytest.approx((64 * 2 * step_work(RESNET_50).moved + 16 * 25_557_032) / 2039e9)
    assert bound.seconds["links"] == pytest.approx(1.5 * gradients / 300e9)
    assert bound.seconds["network"] == pytest.approx(1.75 * gradients / 25e9)
    assert bound.seconds["input"] == pytest.approx(4 * 64 * IMAGENET.core_ms / 1000 / 32)
    assert bound.step == max(bound.seconds.values()) == bound.seconds["input"]
    assert bound.limit == "input"
    assert bound.cores == pytest.approx(32)  # those that it is limited by are all busy
    assert bound.learning_rate == pytest.approx(0.8 * 2048 / 1024)
    assert bound.steps == 1_281_167 // 2048
    assert bound.training == pytest.approx(100 * bound.steps * bound.step)
    assert bound.memory == bound.recipe.step_bytes(RESNET_50, 64, "mixed_bfloat16")


def test_a_single_accelerator_reduces_nothing_and_a_single_machine_has_no_network():
    assert set(step_bound(RESNET_50, "1x1", "h100").seconds) == {"compute", "traffic"}
    assert set(step_bound(RESNET_50, "1x8", "h100").seconds) == {"compute", "traffic", "links"}
    assert set(step_bound(RESNET_50, "8x1", "h100").seconds) == {"compute", "traffic", "network"}
    inside, between = step_bound(RESNET_50, "1x8", "h100").reduced, step_bound(RESNET_50, "8x1", "h100").reduced
    assert (inside.vectors, inside.scalars, between.scalars) == (2, 0, 4)


def test_with_the_same_load_on_each_more_accelerators_take_no_shorter_a_step_and_more_images_where_linked_alike():
    bounds = [step_bound(RESNET_50, cluster, "h100", None, 32) for cluster in ("1x1", "1x2", "1x8", "2x8", "64x8")]
    for fewer, more in pairwise(bounds):
        assert more.step >= fewer.step
        if more.seconds.keys() == fewer.seconds.keys():
            assert more.images_per_second > fewer.images_per_second


def test_images_that_fit_are_the_most_that_fit():
    bound = step_bound(RESNET_50, "1x1", "t4", "modern-imagenet")
    fits = bound.recipe.step_bytes(RESNET_50, bound.fitting, bound.precision)
    one_more = bound.recipe.step_bytes(RESNET_50, bound.fitting + 1, bound.precision)
    assert fits <= 16 * 2**30 < one_more
    assert bound.each > bound.fitting


def test_steps_and_length_are_the_recipes():
    paper = step_bound(reskeras.plan("cifar-resnet-20"), "1x4", "v100", "paper-cifar")
    assert paper.training == pytest.approx(64_000 * paper.step)
    held = step_bound(RESNET_50, "1x1", "a100-80", "paper-imagenet", conditions=Conditions(images=10_000))
    assert (held.images, held.steps) == (9_900, 9_900 // 256)
    parts = step_bound(RESNET_50, "1x1", "a100-80", recipe("modern-imagenet", accumulate=4))
    assert parts.each == 256
    assert step_bound(RESNET_50, "1x1", "a100-80", recipe("modern-imagenet", accumulate=4), 32).each == 32
    assert parts.memory < step_bound(RESNET_50, "1x1", "a100-80", "modern-imagenet").memory


def test_steps_are_on_images_of_the_size_that_the_recipe_trains_on():
    smaller = step_bound(RESNET_50, "1x8", "h100", recipe("modern-imagenet", sizes=[[0, 160]]))
    network = laid_over(reskeras.network("resnet-50"), {"input_shape": [160, 160, 3]}).lower()
    expected = step_bound(network, "1x8", "h100", "modern-imagenet")
    assert smaller.seconds == expected.seconds and smaller.memory == expected.memory


@pytest.mark.parametrize(("name", "row"), ACCELERATORS.items())
def test_a_row_of_the_table_is_of_its_generation(name, row):
    assert row.source
    ampere = row.capability >= (8, 0)
    assert row.half / row.single == pytest.approx(2, rel=0.02) if ampere else row.half > 7 * row.single
    chosen = step_bound(RESNET_50, "1x1", name).precision
    assert chosen == ("mixed_bfloat16" if ampere else "mixed_float16")
    assert row.peak(chosen) == row.half * 1e12
    assert row.peak("float32") == row.single * 1e12


@pytest.mark.parametrize(("data", "named"), [(CIFAR, "cifar10 (jpeg)"), (IMAGENET, "photographs")])
def test_the_time_of_an_image_is_the_benchmarks(data, named):
    rows = json.loads((ROOT / "docs" / "benchmarks" / "pipeline.json").read_text(encoding="utf-8"))["rows"]
    costs = [float(row[4]) for row in rows if row[0] == named and row[1] in (data.recipe, "step-cifar")]
    assert [data.core_ms] == pytest.approx(costs, rel=0.02)


@pytest.mark.parametrize("text", ["8x8", "8X8", " 8 x 8 ", "8×8"])
def test_a_cluster_is_read(text):
    assert str(read_cluster(text)) == "8x8"
    assert read_cluster(text).accelerators == 64


@pytest.mark.parametrize(
    "text",
    ["", "8", "8x", "x8", "0x8", "8x0", "-1x8", "8x8x8", "1.5x2", "65537x1", "1000x1000", "1x" + "9" * 5000, "٨x٨"],
)
def test_a_wrong_cluster_is_refused(text):
    with pytest.raises(ReskerasError, match=r"cluster: .* should be machines x accelerators of each") as caught:
        read_cluster(text)
    assert caught.value.status == 2
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"device": "h1000"}, r"device: 'h1000' is not one of .*; did you mean h100\?"),
        ({"source": recipe(precision="mixed_bfloat16"), "device": "v100"}, "precision: mixed_bfloat16 needs a GPU"),
        ({"cluster": "3x8"}, "batch_size: 1024 cannot be split evenly over 24 replicas; use a multiple, such as 1032"),
        ({"cluster": "64x8", "each": 256}, "batch_size: 131072: should be at least 1 and at most 65,536"),
        ({"source": recipe(accumulate=2), "cluster": "1x2"}, "accumulate: 2 works with one replica only"),
        ({"source": recipe(freeze="stage1")}, "freeze: these figures are of a training of all weights"),
        ({"source": recipe(frozen_bn=True)}, "frozen_bn: these figures are of a training of all weights"),
        ({"source": recipe(sizes=[[0, 64], [0.5, 96]])}, "sizes: these figures are of steps on images of one size"),
    ],
)
def test_what_cannot_be_planned_is_refused(words, said):
    with pytest.raises(ReskerasError, match=said):
        step_bound(RESNET_50, **{"cluster": "1x1", "device": "h100", **words})


@pytest.mark.parametrize("field", ["images", "core_ms", "bandwidth", "cores"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e13])
def test_a_number_that_no_machine_has_is_refused(field, value):
    with pytest.raises(ReskerasError, match=f"{field}: .* should be from"):
        Conditions(**{field: value})
