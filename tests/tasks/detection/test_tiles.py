"""Tiles of large images, and what is found in them put together, by properties."""

from itertools import pairwise

import numpy as np
import pytest

from reskeras.errors import ReskerasError
from reskeras.tasks.detection.average_precision import measured_overlaps
from reskeras.tasks.detection.options import Tiling
from reskeras.tasks.detection.tiles import EDGE, View, merged, tiles_of


@pytest.mark.parametrize("seed", range(30))
def test_tiles_cover_an_image_are_all_as_large_and_overlap_enough(seed):
    rng = np.random.default_rng(seed)
    side = int(rng.integers(32, 200))
    tiling = Tiling(side, int(rng.integers(0, side // 2 + 1)))
    height, width = (int(number) for number in rng.integers(1, 900, 2))
    tiles = tiles_of((height, width), tiling)
    shown = np.zeros((height, width), int)
    for top, left, bottom, right in tiles:
        assert (bottom - top, right - left) == (min(side, height), min(side, width))
        assert min(top, left) >= 0 and bottom <= height and right <= width
        shown[top:bottom, left:right] += 1
    assert shown.min() == 1 or len(tiles) > 1
    assert (shown > 0).all()
    for low, high in ((0, 2), (1, 3)):
        starts = sorted({tile[low] for tile in tiles})
        ends = {tile[low]: tile[high] for tile in tiles}
        assert all(ends[one] - other >= tiling.shared for one, other in pairwise(starts))
        needed = max(-(-((height, width)[low] - tiling.shared) // (side - tiling.shared)), 1)
        assert len(starts) == needed  # no more than must be


def test_an_image_that_fits_is_one_tile():
    assert tiles_of((60, 64), Tiling(64)) == [(0, 0, 60, 64)]
    assert [tile[1] for tile in tiles_of((10, 112), Tiling(64, 16))] == [0, 48]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Tiling(31), "tile: 31: should be 32 to 8,192 pixels"),
        (lambda: Tiling(64, 33), "tile-overlap: 33: should be 0 to half of the tile's side, 32 pixels"),
        (lambda: Tiling(64, -1), "tile-overlap: -1"),
        (lambda: tiles_of((8000, 8000), Tiling(32)), "of 8000x8000 pixels has 110,889 such tiles, more than 10,000"),
    ],
)
def test_tilings_that_make_no_sense_are_refused(make, told):
    with pytest.raises(ReskerasError, match=told):
        make()


def objects_in(rng, size, count, largest, overlap):
    """Boxes of whole and broken pixels, two classes, none of which overlaps another by more than `overlap`."""
    boxes = np.zeros((0, 4), np.float32)
    for _ in range(count):
        sides = rng.uniform(3, largest, 2)
        corner = rng.uniform(0, np.maximum(np.array(size) - sides, 0))
        box = np.float32([*corner, *np.minimum(corner + sides, size)])
        box = box.round() if rng.random() < 0.5 else box
        if (measured_overlaps(box[None], boxes) < overlap).all():
            boxes = np.concatenate([boxes, box[None]])
    return boxes, rng.integers(0, 2, len(boxes)).astype(np.int32)


def seen(rng, tile, boxes, labels):
    """What a perfect detector finds in a tile: of every object the part that shows, with some score."""
    low, high = np.float32([*tile[:2], *tile[:2]]), np.float32([*tile[2:], *tile[2:]])
    parts = np.clip(boxes, low, high)
    shows = ((parts[:, 2:] - parts[:, :2]) > 0.5).all(axis=1)
    scores = rng.uniform(0.1, 1, shows.sum()).astype(np.float32)
    order = np.argsort(-scores)
    return View(tile, parts[shows][order], scores[order], labels[shows][order])


def interior(tile, size):
    """The tile without its inner borders and what is next to them."""
    margin = np.maximum((np.array(tile[2:]) - tile[:2]) * EDGE, 1)
    inner = np.array(tile) != [0, 0, *size]
    return np.where(inner, np.array(tile) + np.array([*margin, *-margin]), np.array(tile))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_an_object_inside_a_tile_is_found_once_with_its_own_box(seed, whole):
    rng = np.random.default_rng(seed)
    size = tuple(int(number) for number in rng.integers(60, 400, 2))
    tiling = Tiling(int(rng.integers(40, 120)))
    boxes, labels = objects_in(rng, size, 40, 40, 0.5)
    tiles = tiles_of(size, tiling)
    views = [seen(rng, tile, boxes, labels) for tile in tiles]
    views += [seen(rng, (0, 0, *size), boxes, labels)] if whole else []
    found = merged(views, size, 0.5)
    assert (np.diff(found.scores) <= 0).all()
    inside = 0
    for box, label in zip(boxes, labels, strict=True):
        limits = [interior(tile, size) for tile in tiles]
        if not any((box[:2] >= limit[:2]).all() and (box[2:] <= limit[2:]).all() for limit in limits):
            continue
        inside += 1
        own = (found.boxes == box).all(axis=1) & (found.labels == label)
        assert own.sum() == 1
        scores = [
            score
            for view in views
            for known, score in zip(view.boxes, view.scores, strict=True)
            if (known == box).all()
        ]
        assert found.scores[own][0] >= max(scores)  # the best view of it counts
    assert inside > 3
    if whole:  # then all are inside one
        assert len(found.scores) == len(boxes)


def test_boxes_of_one_view_stay_as_its_own_suppression_left_them():
    near = np.float32([[0, 0, 10, 10], [0, 1, 10, 11]])
    view = View((0, 0, 40, 40), near, np.float32([0.9, 0.3]), np.int32([0, 0]))
    assert len(merged([view], (40, 80), 0.5).scores) == 2
    other = View((0, 20, 40, 60), near + np.float32([0, 25, 0, 25]), np.float32([0.8, 0.7]), np.int32([0, 0]))
    assert len(merged([view, other], (40, 80), 0.5).scores) == 4


def test_only_boxes_of_one_class_are_one_unless_suppression_is_across_classes():
    box = np.float32([[2, 2, 12, 12]])
    views = [View((0, 0, 40, 40), box, np.float32([0.9]), np.int32([0]))]
    views += [View((0, 0, 40, 80), box, np.float32([0.8]), np.int32([1]))]
    assert merged(views, (40, 80), 0.5).labels.tolist() == [0, 1]
    assert merged(views, (40, 80), 0.5, class_agnostic=True).labels.tolist() == [0]


def test_a_part_gives_way_to_the_whole_and_lends_it_its_score():
    part = View((0, 0, 40, 40), np.float32([[5, 30, 15, 40]]), np.float32([0.95]), np.int32([0]))
    whole = View((0, 0, 40, 80), np.float32([[5, 30, 15, 60]]), np.float32([0.4]), np.int32([0]))
    found = merged([part, whole], (40, 80), 0.5)
    assert found.boxes.tolist() == [[5, 30, 15, 60]] and found.scores.tolist() == [np.float32(0.95)]
    alone = merged([part], (40, 80), 0.5)
    assert alone.boxes.tolist() == [[5, 30, 15, 40]]  # better than nothing
    large = View((0, 0, 40, 80), np.float32([[0, 0, 40, 60]]), np.float32([0.4]), np.int32([0]))
    assert len(merged([part, large], (40, 80), 0.5).scores) == 2  # of which the part is not what the tile would show


def test_nothing_found_is_nothing():
    empty = View((0, 0, 40, 40), np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))
    assert merged([empty, empty], (40, 80), 0.5).boxes.shape == (0, 4)
