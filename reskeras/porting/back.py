"""Export of our weights for other libraries: a file for keras.applications, or a PyTorch state dict."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np

from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.files import atomic_file
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.inception import InceptionSpec
from reskeras.networks.network import NetworkSpec
from reskeras.networks.orders import ORDERS
from reskeras.porting.convert import their_tensors, with_channels_reversed
from reskeras.porting.fitted import Answers, TrainedNetwork, fitted
from reskeras.porting.foreign_model import APPLICATIONS, application_model, of_keras
from reskeras.porting.layouts import KERAS
from reskeras.porting.normalise import NORMALISE, Normalise
from reskeras.porting.recognise import recognise
from reskeras.porting.torch_back import write_state_dict

KERAS_WEIGHTS = "keras-weights"


def write_weights(given: TrainedNetwork, kind: str, path: Path) -> Answers:
    """Write weights of a `kind` to `path`; returns the forward pass of the other library's network with them.

    Biases that the other library lacks are folded into batch norms, ones that only it has are 0; a different epsilon
    is absorbed by the variances. Where keras.applications takes BGR images, the first convolution is reversed. Raises
    ReskerasError (status 2), with what differs, where it has no such network, or where a library is missing.
    """
    try:
        return KINDS[kind].write(given, path)
    except ReskerasError as error:  # raised by code that ports and exports share
        raise ReskerasError(re.sub("^port:", "export:", str(error)), error.status) from error


def application_of(spec: AnyNetwork | DetectorSpec) -> tuple[str, str]:
    """The network of keras.applications that a spec may be, and its preprocessing mode."""
    if isinstance(spec, InceptionSpec):
        return "InceptionResNetV2", "tf"
    if not isinstance(spec, NetworkSpec):
        raise ReskerasError(f"to: {KERAS_WEIGHTS} can only be written for a residual network")
    decided = spec.decided()
    second = ORDERS[decided.stages[0].order].preactivates
    name, pixels = (f"ResNet{decided.depth}V2", "tf") if second else (f"ResNet{decided.depth}", "caffe")
    if name not in APPLICATIONS:
        raise ReskerasError(
            f"to: keras.applications has no residual network of {decided.depth} layers, only "
            f"{', '.join(APPLICATIONS)}; after import reskeras, Keras loads the run's model.keras itself"
        )
    return name, pixels


def _write_keras(given: TrainedNetwork, path: Path) -> Answers:
    name, pixels = application_of(given.spec)
    plan = given.plan
    model = application_model(name, None, len(given.labels), plan.input_shape)
    source = of_keras(model, f"keras.applications.{name}")
    known = recognise(source)
    weights = fitted(given, known, source)
    reverse = _wants_blue_first(given.preprocessing, NORMALISE[pixels])
    if reverse:
        weights = with_channels_reversed(plan, weights)
    tensors = their_tensors(weights, KERAS, known.layers, plan)
    for layer in model.layers:
        for variable in layer.weights:
            own = tensors.get(f"{layer.name}/{variable.name}")
            # a bias or a scale that our network lacks
            variable.assign(own if own is not None else np.full(variable.shape, float(variable.name == "gamma")))
    with atomic_file(path) as beside:
        model.save_weights(beside)
    again = application_model(name, str(path), len(given.labels), plan.input_shape)
    ask = of_keras(again, name).asked()
    return Answers((lambda images: ask(images[..., ::-1])) if reverse else ask, f"Keras {keras.__version__}'s {name}")


def _wants_blue_first(preprocessing: Preprocessing, wanted: Normalise) -> bool:
    """Whether our preprocessing is the other library's, but for its BGR order of channels."""
    return (
        wanted.reverse
        and preprocessing.mean.shape == (3,)
        and bool(np.allclose(preprocessing.mean, wanted.mean) and np.allclose(preprocessing.std, wanted.std))
    )


@dataclass(frozen=True)
class WeightKind:
    """Weights for another library: the suffix of their file, empty for a folder, and the function that writes them."""

    suffix: str
    write: Callable[[TrainedNetwork, Path], Answers]


KINDS = {
    KERAS_WEIGHTS: WeightKind(".weights.h5", _write_keras),
    "torchvision-state-dict": WeightKind(".safetensors", partial(write_state_dict, library="torchvision")),
    "timm-state-dict": WeightKind("", partial(write_state_dict, library="timm")),
}
