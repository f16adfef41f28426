"""Progressive image sizes: the step of each size is the network's own at that size, and going on across a change
equals never having stopped."""

import signal

import numpy as np
import pytest

import reskeras
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read
from reskeras.recipes.recipe import recipe
from reskeras.tasks.classification.feed import Feed
from reskeras.training.lengthen import check_longer
from reskeras.training.strategy import open_replicas
from tests.data.images import coloured
from tests.training.test_resume import Failing, killed, stopping_at
from tests.training.test_resume import digest as digest_told
from tests.training.test_strategy import assert_equal_but_for_rounding, trained_on

STILL = {"deterministic": True, "precision": "float32", "learning_rate": 0.02, "batch_size": 32, "holdout": 0.0}
NETWORK = {
    "family": "cifar",
    "stages": [{"units": 3, "width": 4}, {"units": 1, "width": 8}],
    "stem": {"convs": [{"width": 4}]},
    "input_shape": [12, 12, 1],
}


def trained(out, network=None, **fields):
    return reskeras.train(reskeras.network(**(network or NETWORK)), "digits@160", out=out, **{**STILL, **fields})


def digest(run):
    return run.folder.provenance()["trained_sha256"]


def test_a_refused_size_leaves_nothing_behind(tmp_path):
    with pytest.raises(ReskerasError, match="sizes: 1 is below the network's stride of 2") as caught:
        trained(tmp_path / "run", epochs=1, sizes=[[0, 1]])
    assert caught.value.status == 2
    assert list(tmp_path.iterdir()) == []


AUGMENTED = {
    "pad_crop": 2,
    "flip_rows": True,
    "erase": 0.5,
    "mixup": 0.2,
    "cutmix": 1.0,
    "rand_augment": {},
    "colour": 0.2,
}


@pytest.mark.sample(1)
@pytest.mark.parametrize("form", ["unrolled", "scanned"])
def test_trained_at_one_size_it_is_the_network_of_that_size_to_the_bit(tmp_path, form):
    fields = {"epochs": 2, "normalise": "scale", "augment": AUGMENTED, "form": form}
    own = trained(tmp_path / "own", {**NETWORK, "input_shape": [8, 8, 1]}, **fields)
    run = trained(tmp_path / "run", sizes=[[0, 8]], **fields)
    assert digest(run) == digest(own)
    assert run.plan.input_shape == (12, 12, 1) and run.preprocessing().size == (12, 12, 1)
    assert run.model().input_shape == (None, 12, 12, 1)
    assert run.folder.provenance()["training_sizes"] == "8x8 from epoch 1"
    # and it is watched as it is evaluated, at the network's own size
    assert run.folder.metrics()[-1]["val_accuracy"] == pytest.approx(run.evaluate().top1, abs=1e-6)


CHANGING = {
    "epochs": 3,
    "checkpoint_steps": 2,
    "ema": 0.9,
    "sizes": [[0, 8], [0.34, 12], [0.67, 16]],
    "augment": {"pad_crop": 2, "cutmix": 1.0, "repeats": 2},
    "schedule": {"kind": "cosine", "warmup": 0.2},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("whole") / "run", **CHANGING)


# 5 steps an epoch: sizes change after steps 5 and 10
@pytest.mark.sample(1)
@pytest.mark.parametrize("step", [3, 5, 6, 8, 11, 12])
def test_interrupted_before_at_or_after_a_change_it_goes_on_to_the_same_bits(whole, tmp_path, step):
    with pytest.raises(Failing):
        trained(tmp_path / "run", callbacks=[stopping_at(step)], **CHANGING)
    told = []
    run = trained(tmp_path / "run", resume=True, tell=told.append, **CHANGING)
    assert any(line.startswith("resume: continuing after epoch") for line in told)
    assert digest(run) == digest(whole)
    kept = [
        [{name: value for name, value in row.items() if name != "seconds"} for row in one.folder.metrics()]
        for one in (run, whole)
    ]
    assert kept[0] == kept[1]


@pytest.mark.slow
def test_killed_at_any_moment_around_a_change_it_ends_with_the_same_bits(tmp_path):
    fields = "{sizes: [[0, 6], [0.34, 8], [0.67, 10]], augment: {pad_crop: 1, repeats: 3}}"  # 20 steps an epoch
    expected = digest_told(killed(tmp_path / "whole", fields=fields))
    for moment in ("step:9", "step:20", "validation:2", "writing:3", "step:21", "step:22", "step:41", "step:55"):
        out = tmp_path / moment.replace(":", "-")
        assert killed(out, moment, fields=fields).returncode == -signal.SIGKILL
        assert digest_told(killed(out, fields=fields)) == expected, moment


def test_a_change_is_told_where_it_happens(tmp_path, capfd):
    told = []
    trained(tmp_path / "run", tell=told.append, **CHANGING)
    assert "sizes: 8x8 from epoch 1, 12x12 from epoch 2, 16x16 from epoch 3" in told
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith(("epoch", "training on"))]
    assert [line.split("  ")[0] for line in lines] == [
        *("training on images of 8x8", "epoch 1/3", "training on images of 12x12", "epoch 2/3"),
        *("training on images of 16x16", "epoch 3/3"),
    ]


@pytest.mark.slow
def test_more_epochs_would_have_had_other_images(tmp_path):
    fields = {"sizes": [[0, 8], [0.5, 12]], "schedule": {"kind": "constant"}}
    trained(tmp_path / "run", epochs=2, **fields)
    with pytest.raises(ReskerasError, match="would change the images of finished epochs, because sizes are relative"):
        trained(tmp_path / "run", epochs=4, resume=True, **fields)
    one = {"sizes": [[0, 8]], "schedule": {"kind": "constant"}}
    trained(tmp_path / "one", epochs=1, **one)
    assert len(trained(tmp_path / "one", epochs=2, resume=True, **one).folder.metrics()) == 2


def test_more_epochs_would_have_had_mosaics_for_longer(tmp_path):
    steady = {"schedule": {"kind": "constant"}}
    with pytest.raises(ReskerasError, match=r"images of finished epochs, because augment\.mosaic\.except_last"):
        check_longer(tmp_path, 2, recipe("detector", augment={"mosaic": {"except_last": 1}}, **steady), None)
    check_longer(tmp_path, 2, recipe("detector", augment={"mosaic": {}}, **steady), None)


def test_batches_have_the_size_of_their_epoch_and_those_watched_the_networks():
    split = coloured(24, size=16)
    source = Source("set", "set", tuple("abcdefg"), 3, split, split)
    chosen = recipe("quick", batch_size=8, epochs=4, holdout=0.0, sizes=[[0, 8], [0.5, 24]], normalise="per_pixel_mean")
    pixels = Preprocessing.fit(split, 16, 16, 3, "per_pixel_mean")
    feed = Feed(chosen, source, pixels, open_replicas("one"))
    for epoch, side in enumerate((8, 8, 24, 24)):
        now = feed.at(epoch)
        images, _ = next(iter(now.training(epoch, 0, epoch + 1).map(now.finished)))
        assert images.shape == (8, side, side, 3)
        assert now.steps_per_epoch == feed.steps_per_epoch == 3
    watched, _ = feed.watching()
    assert next(iter(watched))[0].shape == (8, 16, 16, 3)
    assert feed.at(3) is feed.at(2) and feed.at(0) is not feed


@pytest.mark.slow
def test_two_replicas_change_sizes_as_one_does(tmp_path):
    fields = "{sizes: [[0, 8]], sync_bn: true}"
    for name, how in (("one", ("one", 0)), ("two", ("mirrored", 2))):
        done = trained_on(tmp_path / name, *how, fields)
        assert done.returncode == 0, done.stderr
    assert_equal_but_for_rounding(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_xla_compiles_a_step_for_each_size(tmp_path, recwarn):
    fields = {**CHANGING, "deterministic": False}  # Keras gives XLA up where ops are to be deterministic
    plain, compiled = trained(tmp_path / "plain", **fields), trained(tmp_path / "xla", **fields, xla=True)
    assert not [str(each.message) for each in recwarn if "jit_compile" in str(each.message)]
    ours, theirs = read(compiled.model()), read(plain.model())
    apart = np.concatenate([np.abs(ours[name] - theirs[name]).ravel() for name in ours])
    assert np.mean(apart > 1e-3) < 0.02
