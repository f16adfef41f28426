"""The recipes of "ResNet strikes back" against table 2 of the paper (arXiv:2110.00476), field by field."""

import pytest

import reskeras
from reskeras.data.decode import Framing
from reskeras.recipes.recipe import recipe

# a row of the table for each ingredient: A1, A2, A3; None where the table has a cross
TABLE = {
    "train resolution": (224, 224, 160),
    "test resolution": (224, 224, 224),
    "epochs": (600, 300, 100),
    "batch size": (2048, 2048, 2048),
    "optimizer": ("lamb", "lamb", "lamb"),
    "learning rate": (5e-3, 5e-3, 8e-3),
    "decay of the learning rate": ("cosine", "cosine", "cosine"),
    "weight decay": (0.01, 0.02, 0.02),
    "warmup epochs": (5, 5, 5),
    "label smoothing": (0.1, None, None),
    "stochastic depth": (0.05, 0.05, None),
    "repeated augmentation": (True, True, False),
    "gradient clipping": (None, None, None),
    "horizontal flip": (True, True, True),
    "random resized crop": (True, True, True),
    "RandAugment": ((7, 0.5), (7, 0.5), (6, 0.5)),
    "mixup alpha": (0.2, 0.1, 0.1),
    "cutmix alpha": (1.0, 1.0, 1.0),
    "erasing probability": (None, None, None),
    "colour jitter": (None, None, None),
    "PCA lighting": (None, None, None),
    "exponential moving average": (None, None, None),
    "test crop ratio": (0.95, 0.95, 0.95),
    "loss": ("binary_cross_entropy",) * 3,
    "mixed precision": (True, True, True),
    "top-1 accuracy": (80.4, 79.8, 78.1),
}
RESNET_50 = reskeras.network("resnet-50").lower()


def read(chosen):
    """The same rows, of a recipe for ResNet-50."""
    augment, epochs = chosen.augment, chosen.epochs
    height, width, _ = RESNET_50.input_shape
    rand = augment.rand_augment
    assert (rand.operations, rand.probability, rand.increasing) == (2, 0.5, True)  # timm's, as its names have it: inc1
    return {
        "train resolution": chosen.sizes[0][1] if chosen.sizes else height,
        "test resolution": width,
        "epochs": epochs,
        "batch size": chosen.batch_size,
        "optimizer": chosen.optimizer.kind,
        "learning rate": chosen.learning_rate,
        "decay of the learning rate": chosen.schedule.kind,
        "weight decay": chosen.weight_decay,
        "warmup epochs": pytest.approx(chosen.schedule.warmup * epochs, abs=1e-3),
        "label smoothing": chosen.label_smoothing or None,
        "stochastic depth": chosen.drop_path,
        "repeated augmentation": augment.repeats == 3,
        "gradient clipping": {1.0: None}[chosen.clip_norm],  # not the table's: timm's LAMB clips at 1 by itself
        "horizontal flip": augment.flip == "auto" and not augment.flip_rows,
        "random resized crop": augment.random_resized_crop is not None and augment.padding == 0,
        "RandAugment": pytest.approx((rand.magnitude / 3, rand.deviation / 3)),  # the paper's are of 10, ours of 30
        "mixup alpha": augment.mixup,
        "cutmix alpha": augment.cutmix,
        "erasing probability": augment.erase or None,
        "colour jitter": augment.colour or None,
        "PCA lighting": augment.lighting or None,
        "exponential moving average": chosen.ema or None,
        "test crop ratio": chosen.test_crop,
        "loss": chosen.loss.kind,
        "mixed precision": chosen.precision == "auto",
        "top-1 accuracy": float(chosen.description.partition("Published: ")[2].partition("%")[0]),
    }


@pytest.mark.parametrize(("place", "name"), enumerate(("rsb-a1", "rsb-a2", "rsb-a3")))
def test_each_ingredient_is_that_of_the_papers_table(place, name):
    found = read(recipe(name))
    expected = {ingredient: row[place] for ingredient, row in TABLE.items()}
    assert found.keys() == expected.keys()
    for ingredient in expected:
        assert expected[ingredient] == found[ingredient], ingredient


@pytest.mark.parametrize("name", ["rsb-a1", "rsb-a2", "rsb-a3"])
def test_nothing_else_differs_from_the_defaults_of_recipes(name):
    known = {"description", "epochs", "batch_size", "learning_rate", "schedule", "weight_decay", "label_smoothing"}
    known |= {"drop_path", "test_crop", "augment", "sizes", "optimizer", "loss", "clip_norm"}
    chosen = recipe(name)
    assert chosen.model_fields_set <= known
    assert (
        chosen.loss.threshold == 0.2 and not chosen.loss.sum_classes
    )  # timm's, for "the target is 1 for each mixed class"
    assert chosen.augment.random_resized_crop.area == (0.08, 1.0)  # timm's, which the paper does not change
    assert chosen.augment.random_resized_crop.aspect == (3 / 4, 4 / 3)
    chosen.check(RESNET_50)


def test_a_test_image_is_framed_as_timm_frames_it():
    """timm resizes the shorter side to floor(224 / 0.95)."""
    assert Framing(recipe("rsb-a1").test_crop).covering(224) == int(224 / 0.95) == 235


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["rsb-a1", "rsb-a2", "rsb-a3"])
def test_a_small_network_trains_for_an_epoch(tmp_path, name):
    network = reskeras.network(family="cifar", stages=[1, 1], input_shape=[16, 16, 1])
    smaller = {"sizes": [[0, 12]]} if recipe(name).sizes else {}
    run = reskeras.train(network, "digits@192", name, out=tmp_path / "run", epochs=1, batch_size=32, **smaller)
    [row] = run.folder.metrics()
    assert 0 < row["loss"] < 5
    assert run.preprocessing().framing.crop == 0.95
    assert run.plan.input_shape == (16, 16, 1) and run.evaluate().images == 359
