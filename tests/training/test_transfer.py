"""Trainings that begin from another run: which weights are taken, which are kept frozen to the bit, which move."""

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.evaluation.statistics import recalibrate
from reskeras.graph.weights import read
from reskeras.training.transfer import Start

TINY = {"family": "cifar", "stages": [2, 1], "input_shape": [8, 8, 1]}
ONE = {"epochs": 1, "batch_size": 32, "precision": "float32", "holdout": 0.0}


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return reskeras.train(reskeras.network(**TINY), "digits@200", out=tmp_path_factory.mktemp("start") / "run", **ONE)


def weights(run):
    return read(run.model())


def changed(before, after):
    return {name for name, value in before.items() if name in after and not np.array_equal(value, after[name])}


@pytest.mark.parametrize("form", ["unrolled", "scanned"])
def test_what_is_frozen_stays_to_the_bit_and_the_rest_learns(start, tmp_path, form):
    run = reskeras.train(start.path, "digits@200", start=start, freeze="stage1", form=form, out=tmp_path / "run", **ONE)
    moved = changed(weights(start), weights(run))
    frozen = {name for name in weights(start) if name.startswith(("stem", "stage1"))}
    assert len(frozen) > 10
    assert not moved & frozen
    assert {name for name in weights(start) if name.startswith(("stage2", "logits"))} <= moved


@pytest.mark.parametrize("form", ["unrolled", "scanned"])
def test_frozen_batch_norm_keeps_statistics_scale_and_shift(start, tmp_path, form):
    run = reskeras.train(start.path, "digits@200", start=start, frozen_bn=True, form=form, out=tmp_path / "run", **ONE)
    moved = changed(weights(start), weights(run))
    assert {name.rpartition("/")[2] for name in moved} == {"kernel", "bias"}
    assert {name for name in weights(start) if name.endswith("/kernel")} <= moved


def test_frozen_statistics_are_measured_on_the_starts_images_before(start, tmp_path):
    told, fields = [], {"frozen_bn": True, "bn_statistics": {"images": 64}}
    run = reskeras.train(start.path, "digits@200", start=start, out=tmp_path / "run", tell=told.append, **ONE, **fields)
    assert "bn_statistics: measured on 64 training images of digits@200" in told
    model = start.model()
    recalibrate(model, start.source().train, start.preprocessing(), 64, in_turn=True)
    expected, before = read(model), weights(start)
    statistics = {name for name in before if "/moving_" in name}
    for name, value in weights(run).items():
        if name in statistics:
            assert np.array_equal(value, expected[name]) and not np.array_equal(value, before[name])
        elif name.endswith(("gamma", "beta")):
            assert np.array_equal(value, before[name])


def test_statistics_of_other_images_are_measured_where_they_are_named(start, tmp_path):
    told, fields = [], {"bn_statistics": {"images": 40, "data": "digits@400"}, "frozen_bn": True}
    reskeras.train(start.path, "digits@200", start=start, out=tmp_path / "run", tell=told.append, **ONE, **fields)
    assert "bn_statistics: measured on 40 training images of digits@400" in told


def test_statistics_need_a_classifier_to_start_from_and_its_images(start, tmp_path, trained_detector):
    detector = reskeras.DetectorRun(trained_detector / "tiny")
    fields = {"out": tmp_path / "run", "bn_statistics": {"images": 64}, **ONE}
    with pytest.raises(ReskerasError, match="bn_statistics: needs a run to start from"):
        reskeras.train(start.path, "digits@200", **fields)
    with pytest.raises(ReskerasError, match="is a detector; they are measured on a classifier's images"):
        reskeras.train_detector(detector.path, detector.source().name, start=detector, **fields)
    assert not (tmp_path / "run").exists()


def test_a_frozen_body_gives_the_start_its_own_features(start, tmp_path):
    run = reskeras.train(start.path, "digits@200", start=start, freeze="stage2", out=tmp_path / "run", **ONE)
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
    features = [reskeras.build(one.path, outputs=["stage2"]) for one in (start, run)]
    for model, one in zip(features, (start, run), strict=True):
        from reskeras.graph.weights import places, write

        known = weights(one)
        write(model, {name: known[name] for name in places(model)})
    first, second = (model(images, training=False)["stage2"].numpy() for model in features)
    np.testing.assert_array_equal(first, second)
    assert changed(weights(start), weights(run)) == {"logits/kernel", "logits/bias"}


def test_a_learning_rate_of_nothing_keeps_the_start(start, tmp_path):
    run = reskeras.train(
        start.path,
        "digits@200",
        start=start,
        frozen_bn=True,
        learning_rate=1e-30,
        weight_decay=0.0,
        out=tmp_path / "run",
        **ONE,
    )
    assert changed(weights(start), weights(run)) == set()
    assert run.preprocessing().describe() == start.preprocessing().describe()
    assert run.folder.provenance()["begun_from"] == str(start.path)
    assert run.evaluate().top1 == start.evaluate().top1


def photos(folder, *colours):
    """A folder of two classes, cat and dog, of 10x10 pixels."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (folder / split / name).mkdir(parents=True)
            for index in range(8):
                pixels = rng.integers(0, 255, (10, 10, *colours), np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{split}{index}.png")
    return f"folder:{folder}"


def test_other_classes_get_fresh_logits_and_all_else_from_the_start(start, tmp_path):
    run = reskeras.train(
        start.path,
        photos(tmp_path / "photos"),
        start=start,
        freeze="stage2",
        out=tmp_path / "run",
        **{**ONE, "batch_size": 8},
    )
    assert run.folder.classes() == ["cat", "dog"]
    before, after = weights(start), weights(run)
    assert before.keys() == after.keys()
    assert changed(before, after) == {"logits/kernel", "logits/bias"}
    width = before["logits/kernel"].shape[0]
    assert (after["logits/kernel"].shape, after["logits/bias"].shape) == ((width, 2), (2,))
    assert np.std(after["logits/kernel"]) > 0.05  # as an initialiser draws them: two steps from 0 are less
    assert not np.isin(after["logits/kernel"], before["logits/kernel"]).any()
    assert run.preprocessing().mean.tolist() == start.preprocessing().mean.tolist()
    assert np.ptp(run.model()(np.random.default_rng(0).normal(size=(4, 8, 8, 1)), training=False), axis=0).max() > 0


def test_coloured_images_do_not_go_into_a_network_that_knows_grey_ones(start, tmp_path):
    data = photos(tmp_path / "photos", 3)
    spec = reskeras.network(**{**TINY, "input_shape": [8, 8, 3]})
    with pytest.raises(ReskerasError, match="a network trained on 1-channel images cannot take 3-channel images"):
        reskeras.train(spec, data, start=start, out=tmp_path / "no", **ONE)
    assert not (tmp_path / "no").exists()


def test_a_coloured_stem_of_grey_images_computes_the_same(tmp_path):
    coloured = reskeras.build(reskeras.network(**{**TINY, "input_shape": [8, 8, 3]}), seed=3)
    plan = reskeras.plan(reskeras.network(**{**TINY, "classes": 10}))
    mean, std = np.array([100.0, 110.0, 120.0], np.float32), np.array([50.0, 60.0, 70.0], np.float32)
    start = Start("coloured", read(coloured), Preprocessing(8, 8, 3, "per_channel", mean, std))
    own = read(reskeras.build(reskeras.network(**TINY), seed=4))
    own = (
        {**own, "logits/kernel": np.zeros((32, 1000), np.float32), "logits/bias": np.zeros(1000, np.float32)}
        if own["logits/kernel"].shape[1] == 1000
        else own
    )
    fitted = start.fitted_weights(own)
    grey = np.random.default_rng(1).normal(size=(2, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(
        tf.nn.conv2d(grey, fitted["stem_conv/kernel"], 1, "SAME"),
        tf.nn.conv2d(np.repeat(grey, 3, axis=-1), read(coloured)["stem_conv/kernel"], 1, "SAME"),
        atol=1e-5,
    )
    preprocessing = start.fitted_preprocessing(plan)
    assert preprocessing.size == (8, 8, 1)
    assert preprocessing.mean.tolist() == [110.0]
    assert preprocessing.std.tolist() == [60.0]


def test_a_mean_of_each_pixel_becomes_one_of_each_channel_at_another_size():
    pixels = np.random.default_rng(0).uniform(0, 255, (8, 8, 1)).astype(np.float32)
    start = Start("x", {}, Preprocessing(8, 8, 1, "per_pixel_mean", pixels, np.ones(1, np.float32)))
    same = start.fitted_preprocessing(reskeras.plan(reskeras.network(**TINY)))
    assert same is start.preprocessing
    larger = start.fitted_preprocessing(reskeras.plan(reskeras.network(**{**TINY, "input_shape": [16, 16, 1]})))
    assert (larger.kind, larger.size) == ("per_channel", (16, 16, 1))
    np.testing.assert_allclose(larger.mean, [pixels.mean()], rtol=1e-5)


@pytest.mark.parametrize(
    ("network", "fields", "why"),
    [
        ({**TINY, "stages": [1, 1]}, {}, "is a different network: only one of the two has stage1_unit2_bn1/beta"),
        ({**TINY, "width_factor": 2.0}, {}, "has shape .*; expected"),
        (TINY, {"freeze": "stage9"}, "freeze: 'stage9' is not one of stem, stage1, stage2, head"),
        (TINY, {"freeze": "head"}, "nothing is left to train"),
    ],
)
def test_what_does_not_fit_is_refused(start, tmp_path, network, fields, why):
    with pytest.raises(ReskerasError, match=why):
        reskeras.train(reskeras.network(**network), "digits@200", start=start, out=tmp_path / "run", **ONE, **fields)


def test_the_command_trains_from_a_run_and_resumes(start, tmp_path):
    from click.testing import CliRunner

    from reskeras_cli.main import commands

    words = [
        "train",
        "--from",
        str(start.path),
        "--data",
        "digits@200",
        "--freeze",
        "stage1",
        "--epochs",
        "1",
        "--rate-factor",
        "stage2_*=0.1",
        "--out",
        str(tmp_path / "run"),
    ]
    done = CliRunner().invoke(commands, words)
    assert done.exit_code == 0, done.output
    assert f"starting from {start.path}, frozen up to stage1" in done.stdout
    assert CliRunner().invoke(commands, [*words, "--resume"]).exit_code == 0
    bad = CliRunner().invoke(commands, [*words[:-2], "--rate-factor", "stage2"])
    assert (bad.exit_code, "is not of the form NAME=NUMBER" in bad.stderr) == (2, True)
