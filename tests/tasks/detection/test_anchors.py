"""Anchors: order, centres, areas and shapes."""

import numpy as np
import pytest
import tensorflow as tf

from reskeras.tasks.detection import anchors
from reskeras.tasks.detection.layers import Proposals


def anchor_grid(*arguments, **fields):
    return anchors.anchor_grid(*arguments, **fields).numpy()


def test_anchors_equal_plain_loops():
    expected = []
    for row in range(2):
        for column in range(3):
            for size in (32, 64):
                for ratio in (0.5, 1, 2):
                    height, width = size * ratio**0.5, size / ratio**0.5
                    y, x = (row + 0.5) * 16, (column + 0.5) * 16
                    expected.append((y - height / 2, x - width / 2, y + height / 2, x + width / 2))
    found = anchor_grid(2, 3, 16, (32, 64), (0.5, 1, 2))
    assert found.dtype == np.float32 and found.shape == (36, 4)
    assert np.allclose(found, expected, rtol=1e-6)


def test_a_shape_has_the_area_of_its_size_and_the_height_of_its_ratio():
    top, left, bottom, right = anchor_grid(1, 1, 8, (128,), (0.5, 2)).T
    assert (bottom - top) * (right - left) == pytest.approx([128**2, 128**2], rel=1e-5)
    assert (bottom - top) / (right - left) == pytest.approx([0.5, 2], rel=1e-5)
    assert ((bottom - top) > (right - left)).tolist() == [False, True]


def test_anchors_are_where_the_cells_look():
    middle = anchor_grid(3, 2, 16, (32,), (0.5, 2))
    shifted = anchor_grid(3, 2, 16, (32,), (0.5, 2), offsets=(0.5, 3.0))
    assert np.allclose(shifted - middle, [-7.5, -5, -7.5, -5])


def test_square_anchors_of_the_stride_tile_the_image():
    covered = np.zeros((32, 48), int)
    for top, left, bottom, right in anchor_grid(2, 3, 16, (16,), (1.0,)).astype(int):
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


def test_anchors_take_no_memory_in_a_graph():
    shape = 100, 168, 3
    choose = Proposals(
        name="proposals",
        before=50,
        count=10,
        overlap=0.7,
        levels=[{"stride": 8, "sizes": [32.0], "ratios": [0.5, 1, 2]}],
    )

    @tf.function(autograph=False)
    def run(objectness, deltas):
        return choose([objectness, deltas, tf.constant([[0.0, 0, 800, 1344]])])

    graph = run.get_concrete_function(tf.TensorSpec([1, *shape]), tf.TensorSpec([1, *shape[:2], 12])).graph
    assert graph.as_graph_def().ByteSize() < 100_000 < 4 * 4 * np.prod(shape)
