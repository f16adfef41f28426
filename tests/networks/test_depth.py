"""Claims about what a depth is taken to mean."""

from __future__ import annotations

import pytest

import reskeras
from reskeras.errors import ReskerasError
from reskeras.networks.depth import read_depth

NAMED = {  # v1 table 1, v2 tables 3 and 5
    18: ("imagenet", "basic", (2, 2, 2, 2)),
    34: ("imagenet", "basic", (3, 4, 6, 3)),
    50: ("imagenet", "bottleneck", (3, 4, 6, 3)),
    101: ("imagenet", "bottleneck", (3, 4, 23, 3)),
    152: ("imagenet", "bottleneck", (3, 8, 36, 3)),
    200: ("imagenet", "bottleneck", (3, 24, 36, 3)),
    164: ("cifar", "bottleneck", (18, 18, 18)),
    1001: ("cifar", "bottleneck", (111, 111, 111)),
}
# what any depth may mean, by the papers' arithmetic alone
VALID = NAMED.keys() | {6 * n + 2 for n in range(1, 200)} | {9 * n + 2 for n in range(1, 200)}


@pytest.mark.parametrize("depth", NAMED)
def test_a_catalogued_depth_wins(depth):
    assert read_depth(depth) == NAMED[depth]


@pytest.mark.parametrize(
    ("depth", "family", "block", "meaning"),
    [
        (8, None, None, ("cifar", "basic", (1, 1, 1))),
        (20, None, None, ("cifar", "basic", (3, 3, 3))),
        (56, None, None, ("cifar", "basic", (9, 9, 9))),  # also 9n+2: basic comes first
        (110, None, None, ("cifar", "basic", (18, 18, 18))),
        (1202, None, None, ("cifar", "basic", (200, 200, 200))),
        (29, None, None, ("cifar", "bottleneck", (3, 3, 3))),
        (110, None, "bottleneck", ("cifar", "bottleneck", (12, 12, 12))),
        (110, "cifar", "single", ("cifar", "single", (36, 36, 36))),
        (164, None, "basic", ("cifar", "basic", (27, 27, 27))),
        (50, "cifar", None, ("cifar", "basic", (8, 8, 8))),
        (50, None, "basic", ("cifar", "basic", (8, 8, 8))),
        (101, "cifar", None, ("cifar", "bottleneck", (11, 11, 11))),
        (50, "imagenet", "bottleneck", NAMED[50]),
    ],
)
def test_family_and_block_choose_the_reading(depth, family, block, meaning):
    assert read_depth(depth, family, block) == meaning


def test_every_depth_to_300_is_read_or_refused_with_its_neighbours():
    for depth in range(2, 300):
        if depth in VALID:
            assert reskeras.resolve(reskeras.network(depth=depth)).depth == depth
            continue
        with pytest.raises(ReskerasError) as refusal:
            read_depth(depth)
        below = max((valid for valid in VALID if valid < depth), default=None)
        above = min(valid for valid in VALID if valid > depth)
        near = f"{below} and {above} (" if below else f"{above} ("
        assert f"depth: {depth} is" in str(refusal.value)
        assert f"nearest are {near}" in str(refusal.value) or f"nearest is {near}" in str(refusal.value)


@pytest.mark.parametrize(
    ("depth", "family", "block", "near"),
    [
        (18, "cifar", None, "14 and 20"),
        (33, "imagenet", None, "18 and 34"),
        (18, None, "bottleneck", "11 and 20"),
        (20, "imagenet", "bottleneck", "50"),
        (6, "cifar", "single", "5 and 8"),
    ],
)
def test_an_impossible_depth_names_its_neighbours_of_that_kind(depth, family, block, near):
    with pytest.raises(ReskerasError) as refusal:
        read_depth(depth, family, block)
    assert f" {near} (" in str(refusal.value)
    assert refusal.value.status == 2
    assert all(name in str(refusal.value) for name in (family, block) if name)


def test_a_combination_without_any_depth_says_so_in_a_whole_sentence():
    with pytest.raises(ReskerasError) as refusal:
        read_depth(18, "imagenet", "single")
    assert "nearest are  (" not in str(refusal.value)
    assert "single" in str(refusal.value)


@pytest.mark.parametrize("depth", [18, 20, 29, 50, 110, 164, 200])
def test_depth_is_counted_back_from_the_stages(depth):
    sparse = reskeras.network(depth=depth)
    resolved = reskeras.resolve(sparse)
    stages = [{"units": row.units, "block": row.block} for row in resolved.stages]
    assert reskeras.resolve(reskeras.network(family=resolved.family, stages=stages)).depth == depth


def test_depth_of_a_custom_net_is_convolutions_on_the_main_path_and_the_dense_layer():
    # 3 stem convolutions + 2 x 2 + 1 x 3 + 3 x 1 + dense
    custom = reskeras.network(
        family="cifar",
        shortcut="B",
        stem={"convs": [{"width": 8}, {"width": 8}, {"width": 16}]},
        stages=[{"units": 2, "block": "basic"}, {"units": 1, "block": "bottleneck"}, {"units": 3, "block": "single"}],
    )
    assert reskeras.resolve(custom).depth == 3 + 4 + 3 + 3 + 1
