"""Batches are shared out to several devices and give what one device gives; run on two logical CPUs."""

import tensorflow as tf

from reskeras import engine
from reskeras.graph import spread
from tests.graph.two_devices import found_by

TWO = """
from reskeras.analysis import lesions
from reskeras.evaluation import prediction, views
for devices in ([], ["/cpu:0", "/cpu:1"]):
    for module in (views, prediction, lesions):
        module.inference_devices = lambda: devices
        module.spread = counted
    run = reskeras.Run(sys.argv[1])
    removed = [lesion.accuracy for lesion in run.analyse(images=64, lesions=3).lesions]
    single, ten = run.evaluate(), run.evaluate(views=10)
    results.append([*removed, single.loss, ten.loss, *single.confidence.tolist(), *ten.confidence.tolist()])
    graph = views.forward(run.model(), devices).get_concrete_function().graph
    results.append(sorted({op.device for op in graph.get_operations() if op.type == "Conv2D"}))
"""


def test_an_evaluation_on_two_devices_equals_that_on_one(tmp_path):
    import reskeras

    small = reskeras.network(family="cifar", stages=[2], input_shape=[8, 8, 1])
    run = reskeras.train(small, "digits@200", epochs=1, out=tmp_path / "run")
    found = found_by(TWO, run)
    one, placed, two, apart = found["results"]
    assert len(one) == len(two) > 2 + 2 * 359
    assert max(abs(a - b) for a, b in zip(one, two, strict=True)) < 1e-5
    assert len(placed) == 1 and [each[-5:] for each in apart] == ["CPU:0", "CPU:1"]
    assert found["shared"].count(["/cpu:0", "/cpu:1"]) >= 3  # one view, ten, an analysis


def test_shares_keep_the_order_of_rows_and_any_structure():
    seen = []

    def squared(rows):
        seen.append(rows)
        return {"squares": rows * rows, "rows": [rows]}

    assert spread.spread(squared, []) is squared
    over = tf.function(spread.spread(squared, ["/cpu:0"] * 3), input_signature=[tf.TensorSpec([None], tf.int32)])
    for count in (0, 1, 2, 7):
        result = over(tf.range(count))
        assert result["squares"].numpy().tolist() == [row * row for row in range(count)]
        assert result["rows"][0].numpy().tolist() == list(range(count))
    assert len(seen) == 3


def test_several_gpus_are_used_and_one_is_left_as_it_is(monkeypatch):
    for count, expected in ((0, []), (1, []), (3, ["/gpu:0", "/gpu:1", "/gpu:2"])):
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind, count=count: ["gpu"] * count)
        assert spread.inference_devices() == expected


def test_memory_of_gpus_is_taken_as_it_is_needed(monkeypatch):
    grown = []

    def grow(gpu, on):
        grown.append((gpu, on))
        if gpu == "in use":
            raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["in use", "free"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", grow)
    engine._grow_memory()
    assert grown == [("in use", True), ("free", True)]
