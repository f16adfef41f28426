"""What is called as Keras' own and is not, or computes otherwise: never "the same function"."""

import copy
import json

import keras
import numpy as np
import pytest

import reskeras
from reskeras.errors import ReskerasError
from tests.identification.configs import config_of, described

FIELDS = {"family": "cifar", "stages": [1, 1], "block": "bottleneck", "input_shape": [8, 8, 3]}


@pytest.fixture(scope="module")
def whole():
    """The configuration of a small network, which `conform` knows exactly."""
    config = config_of(**FIELDS)
    assert reskeras.conform(described(config)).exact
    return config


def layers(config, kind):
    return [layer for layer in config["layers"] if layer["class_name"] == kind]


def same(config):
    found = reskeras.conform(described(config))
    return found.exact and not found.deviations


# what each kind of layer may become, by one entry: its class, its origin, its precision, a number of its own
ORIGINS = [
    {"module": "mine", "registered_name": "{kind}"},
    {"module": None, "registered_name": "{kind}"},
    {"module": "mine.layers", "registered_name": "mine>{kind}"},
    {"module": None, "registered_name": "Custom>{kind}"},
    {"module": "keras_extras", "registered_name": None},
    {"class_name": "Custom>{kind}", "module": None},
    {"class_name": "My{kind}", "module": "mine", "registered_name": "My{kind}"},
]
KINDS = ["Conv2D", "FusedBatchNormalization", "ReLU", "Add", "GlobalAveragePooling2D", "Dense"]
POLICIES = [
    {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "float32"}},
    {"class_name": "Int4DTypePolicy", "config": {"mode": "int4/128", "source_name": "float32"}},
    {"class_name": "QuantizedFloat8DTypePolicy", "config": {"mode": "float8", "source_name": "float32"}},
    {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}},
    "mixed_bfloat16",
    "float64",
    "float16",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("origin", ORIGINS, ids=lambda origin: "-".join(map(str, origin.values())))
def test_a_class_of_that_name_from_elsewhere_is_not_keras_own(whole, kind, origin):
    config = copy.deepcopy(whole)
    chosen = (layers(config, kind) or [layer for layer in config["layers"] if kind in layer["class_name"]])[-1]
    for entry, value in origin.items():
        chosen[entry] = value and value.format(kind=chosen["class_name"])
    found = reskeras.conform(described(config))
    assert not found.exact
    assert found.why or found.obstacles


@pytest.mark.parametrize("kind", KINDS[:2] + KINDS[-1:])
@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_another_precision_is_told(whole, kind, policy):
    config = copy.deepcopy(whole)
    layers(config, kind)[0]["config"]["dtype"] = policy
    found = reskeras.conform(described(config))
    assert "precision" in [each.field for each in found.deviations]
    quantised = isinstance(policy, dict) and "mode" in policy["config"]
    assert found.exact is not quantised
    if quantised:
        with pytest.raises(ReskerasError, match=r"obstacles: network with layers in \w+"):
            found.write("never.yaml")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("Conv2D", {"dilation_rate": [2, 2]}),
        ("Conv2D", {"activation": "silu"}),
        ("Conv2D", {"activation": "gelu"}),
        ("Conv2D", {"data_format": "channels_first"}),
        ("Conv2D", {"padding": "causal"}),
        ("Dense", {"activation": "tanh"}),
        (
            "Dense",
            {"activation": {"module": "mine", "class_name": "function", "config": "relu6", "registered_name": "relu6"}},
        ),
        (
            "Conv2D",
            {
                "activation": {
                    "module": "mine",
                    "class_name": "function",
                    "config": "relu",
                    "registered_name": "mine>relu",
                }
            },
        ),
        (
            "Conv2D",
            {"activation": {"module": None, "class_name": "relu", "config": {}, "registered_name": "mine>relu"}},
        ),
        (
            "Conv2D",
            {
                "activation": {
                    "module": "builtins",
                    "class_name": "function",
                    "config": "relu",
                    "registered_name": "function",
                }
            },
        ),  # an unregistered one that is called so
        ("Dense", {"lora_rank": 2}),
        ("ReLU", {"max_value": 6.0}),
        ("ReLU", {"negative_slope": 0.1}),
        ("ReLU", {"threshold": 0.5}),
    ],
)
def test_another_function_inside_a_layer_is_told(whole, kind, changes):
    config = copy.deepcopy(whole)
    layers(config, kind)[0]["config"].update(changes)
    assert not same(config)


class Residual(keras.layers.Layer):
    """x + f(x), whose configuration has a field `layers` as a Sequential's has."""

    def __init__(self, layers, **options):
        super().__init__(**options)
        self.inner = keras.Sequential(layers)

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return x + self.inner(x)

    def get_config(self):
        return {
            **super().get_config(),
            "layers": [keras.saving.serialize_keras_object(each) for each in self.inner.layers],
        }


class Doubled(keras.Model):
    """A Functional model by its making, and another by its call."""

    def call(self, x, training=None):
        return 2 * super().call(x, training=training)


class Twice(keras.Sequential):
    """The same of a Sequential."""

    def call(self, x, training=None):
        return super().call(super().call(x))


class Named(keras.Model):
    """A subclass that only has a name of its own, and says nothing of its layers."""

    def __init__(self, size=8):
        image = keras.Input((size, size, 3))
        body = reskeras.build(**{**FIELDS, "input_shape": [size, size, 3]})
        super().__init__(image, body(image))
        self.size = size

    def get_config(self):
        return {"size": self.size}


def test_a_custom_layer_that_holds_layers_is_no_sequential(tmp_path):
    image = keras.Input((8, 8, 3))
    x = Residual([keras.layers.Conv2D(3, 3, padding="same"), keras.layers.ReLU()])(image)
    x = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x))
    keras.Model(image, x).save(tmp_path / "net.keras")
    for model in (keras.Model(image, x), tmp_path / "net.keras"):
        found = reskeras.conform(model)
        assert not found.exact
        assert "Residual" in found.why + str(found.obstacles)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", [Doubled, Twice])
def test_a_model_with_a_call_of_its_own_is_not_its_layers(tmp_path, kind, nested):
    body = reskeras.build(**FIELDS)
    model = kind(body.inputs, body.outputs) if kind is Doubled else kind([keras.Input((8, 8, 3)), *body.layers[1:2]])
    assert (
        np.ptp(model(np.ones((1, 8, 8, 3), np.float32)) - body(np.ones((1, 8, 8, 3), np.float32))) > 0
        if kind is Doubled
        else True
    )
    if nested:
        image = keras.Input((8, 8, 3))
        model = keras.Model(image, model(image))
    model.save(tmp_path / "net.keras")
    for source in (model, tmp_path / "net.keras"):
        try:
            found = reskeras.conform(source)
        except ReskerasError as refusal:
            assert "subclassed" in str(refusal)
        else:
            assert nested
            assert not found.exact
            assert kind.__name__ in found.why + str(found.obstacles)


def test_a_subclass_without_a_call_of_its_own_is_its_graph():
    found = reskeras.conform(Named())
    assert found.exact
    assert found.spec.sparse() == reskeras.conform(reskeras.build(**FIELDS)).spec.sparse()


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_quantised_model_is_told(mode):
    model = reskeras.build(**FIELDS)
    model.quantize(mode)
    found = reskeras.conform(model)
    assert not found.exact
    assert mode in json.dumps(found.data())
