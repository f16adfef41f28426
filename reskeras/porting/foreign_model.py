"""The source of a port: the tensors of a Keras model or a state dict by name, and its forward pass."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np

from reskeras.bounded import HDF5_SUFFIXES, check_hdf5
from reskeras.errors import ReskerasError, failure, unknown
from reskeras.files import local_path
from reskeras.graph.weights import placed
from reskeras.identification.archive import read_config
from reskeras.porting.keras_file import load_keras_file
from reskeras.porting.layouts import APPLICATIONS, KERAS, TORCH, Library
from reskeras.porting.originals import (
    CONFIG_FILE,
    Absent,
    Architecture,
    Original,
    Published,
    architecture_beside,
    original,
)
from reskeras.porting.state_dict import SUFFIXES as STATE_DICTS
from reskeras.porting.state_dict import read_state_dict
from reskeras.porting.torch_resnet import logits_of
from reskeras.runs import open_run

LARGEST_FILE = 8 << 30  # bytes
UNTOLD = "a state dict does not record activation, anti-aliasing, dilation, global pool or batch norm's epsilon"
UNSAVED = ("draws",)  # of a dropout that counts them
KERAS_FILES = (".keras", ".h5", ".hdf5")
ROUNDING = ("float16", "bfloat16")
Ask = Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class ForeignModel:
    """Tensors by their own names, and `ask`, the forward pass: float32 images (n, height, width, channels), normalised
    as the source expects them, to logits (n, classes), or a detector's, see `original_detector.asking`. It runs the
    `original`; or, where `why` says why there is none, the default network with these names; or there is none.
    `published` is the preprocessing and the class names of a state dict's weights, where the library or a file beside
    them gives them, `epsilon` that of its batch norms, where it is given. `model` is a Keras source's model, `size` its
    (height, width) where it fixes them. `digest` is the file's SHA-256.
    """

    name: str
    library: Library
    tensors: Mapping[str, np.ndarray]
    ask: Ask | None
    original: Original | None = None
    why: str = ""
    published: Published = field(default_factory=Published)
    model: keras.Model | None = None
    size: tuple[int, int] | None = None
    digest: str | None = None
    epsilon: float | None = None

    def asked(self) -> Ask:
        """`ask`; ReskerasError (status 2) where there is none."""
        if self.ask is None:
            raise ReskerasError(
                f"port: {self.name} cannot be run, because {self.why}; install it, or port with --without-proof"
            )
        return self.ask

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that have tensors, in the source's order."""
        return tuple(dict.fromkeys(name.rpartition(self.library.separator)[0] for name in self.tensors))


def read_source(
    source: Any,
    application: str | None = None,
    classes: int | None = None,
    architecture: Architecture | None = None,
    epsilon: float | None = None,
) -> ForeignModel:
    """The source of a port: a `keras.Model`, of Keras 3 or `tf_keras`, a file, or one of APPLICATIONS to download.

    A file with Keras weights alone needs an `application`, with its number of `classes`; a state dict has an
    `architecture`, which a CONFIG_FILE beside it may give, and may need the `epsilon` of its batch norms. Raises
    ReskerasError: status 2 for what is missing or no source, 1 for what is broken or cannot be downloaded.
    """
    is_object = not isinstance(source, str | PathLike)
    if is_object or Path(source).suffix not in STATE_DICTS:
        for name, value in (("architecture", architecture), ("batch-norm-epsilon", epsilon)):
            if value is not None:
                raise ReskerasError(f"{name}: {value} is only for state dicts ({', '.join(STATE_DICTS)})")
    if is_object:
        return of_keras(source, str(getattr(source, "name", type(source).__name__)))
    if epsilon is not None and not 0 <= epsilon < 1:
        raise ReskerasError(f"batch-norm-epsilon: {epsilon:g}: should be at least 0 and less than 1")
    path = local_path(source, "source")
    if not path.exists():
        if path.suffix or len(path.parts) > 1:
            raise ReskerasError(f"port: file not found: {path}")
        return of_keras(application_model(str(source), "imagenet", classes), str(source))
    if path.is_dir():
        path = _built(path)
    if path.stat().st_size > LARGEST_FILE:
        raise failure(f"port: {path} is larger than {LARGEST_FILE:,} bytes")
    if path.suffix in STATE_DICTS:
        if application:
            raise ReskerasError(
                f"as: {application!r} is only for Keras weights; {path} is recognised by its names and shapes"
            )
        tensors, digest = read_state_dict(path), _digest(path)
        if architecture or not (beside := architecture_beside(path)):
            return of_state_dict(tensors, str(path), digest, architecture, epsilon)
        try:
            return of_state_dict(tensors, str(path), digest, beside, epsilon)
        except ReskerasError as error:
            raise ReskerasError(
                f"{error} (in {path.with_name(CONFIG_FILE)}, beside the weights; override it with --architecture)",
                error.status,
            ) from error
    if path.suffix not in KERAS_FILES:
        raise ReskerasError(f"port: {path} is not one of {', '.join((*KERAS_FILES, *STATE_DICTS))}")
    model = application_model(application, str(path), classes) if application else load_keras_file(path)
    return of_keras(model, str(path), _digest(path))


def _built(path: Path) -> Path:
    """The model file of a run that `build` made, which has no preprocessing and no classes until it is ported."""
    run = open_run(path)
    if not run.is_built:
        raise ReskerasError(f"port: {path} is a complete run already, so it does not need to be ported")
    return run.model_file


def application_model(
    name: str, weights: str | None, classes: int | None = None, input_shape: tuple[int, ...] | None = None
) -> keras.Model:
    """keras.applications' network `name` with `weights`: None for fresh ones, "imagenet" to download, or a file. It
    returns logits, without a softmax."""
    known = {each.lower(): each for each in APPLICATIONS}
    if name.lower() not in known:
        raise unknown("port", name, APPLICATIONS)
    try:
        if weights and weights.endswith(HDF5_SUFFIXES):
            check_hdf5(Path(weights), "port")
        return getattr(keras.applications, known[name.lower()])(
            weights=weights,
            classifier_activation=None,
            input_shape=input_shape,
            **({} if classes is None else {"classes": classes}),
        )
    except ReskerasError:
        raise
    except Exception as error:  # whatever urllib, h5py and Keras find wrong
        what = "cannot be downloaded" if weights == "imagenet" else f"cannot be loaded from {weights}"
        raise failure(f"port: {known[name.lower()]} {what}: {' '.join(str(error).split())[:200]}") from error


def of_keras(model: keras.Model, name: str, digest: str | None = None) -> ForeignModel:
    """A Keras model as a source, its tensors named layer/role, in a nested model model/layer/role.

    ReskerasError for a model whose graph cannot be read, or that has no weights yet.
    """
    read_config(model)
    if not model.built:
        raise ReskerasError(f"port: {name} is not built, so it has no weights; start it with keras.Input")
    exact = in_float32(model)
    words = "the Keras model itself" + ("" if exact is model else ", computing in float32")
    # Keras 2 names variables layer/role:0
    named = (
        (place, variable.name.rpartition("/")[2].partition(":")[0], variable)
        for place, layer in placed(model, nested=_own(model).Model)
        for variable in layer.weights
    )
    tensors = {f"{place}/{role}": variable.numpy() for place, role, variable in named if role not in UNSAVED}
    sizes = [tuple(each.shape[1:3]) for each in model.inputs]
    fixed = len(sizes) == 1 and len(sizes[0]) == 2 and None not in sizes[0]
    return ForeignModel(
        name,
        KERAS,
        tensors,
        _ask_keras(exact),
        Original(words),
        model=model,
        size=sizes[0] if fixed else None,
        digest=digest,
    )


def of_state_dict(
    tensors: Mapping[str, np.ndarray],
    name: str,
    digest: str | None = None,
    architecture: Architecture | None = None,
    epsilon: float | None = None,
) -> ForeignModel:
    """A PyTorch state dict as a source: run by the library's own network where an `architecture` names it and the
    library is installed; else by the default network for such names, where PyTorch is installed."""
    source = ForeignModel(name, TORCH, tensors, None, why=UNTOLD, digest=digest, epsilon=epsilon)
    if architecture is not None:
        architecture = architecture if epsilon is None else replace(architecture, epsilon=epsilon)
        source = replace(source, epsilon=architecture.told_epsilon)
        try:
            theirs, ask = original(architecture, tensors)
            return replace(source, ask=ask, original=theirs, why="", published=theirs.published or {})
        except Absent as reason:
            source = replace(source, why=str(reason), published=architecture.published or {})
    try:
        import torch  # noqa: F401 - whether it is there
    except ImportError:
        return replace(source, why="PyTorch is not installed")
    return replace(source, ask=lambda images: logits_of(tensors, images, epsilon))


def _own(model: Any) -> Any:
    """The Keras package of a model: `keras`, or Keras 2's `tf_keras`."""
    return keras if isinstance(model, keras.Model) else import_module("tf_keras")


def in_float32(model: keras.Model) -> keras.Model:
    """`model`, or a float32 copy where layers compute in half precision, whose rounding is not part of the function."""
    if not isinstance(model, keras.Model) or not any(layer.compute_dtype in ROUNDING for _, layer in placed(model)):
        return model
    copy = keras.models.clone_model(
        model,
        recursive=True,
        clone_function=lambda layer: type(layer).from_config({**layer.get_config(), "dtype": "float32"}),
    )
    copy.set_weights(model.get_weights())
    return copy


def _end(model: Any) -> tuple[Any, Any]:
    """The last layer, or operation of keras.ops, of a model, and its input tensor there: `layer.input` would be that of
    its first call, and of a nested model its own."""
    if not isinstance(model, keras.Model):
        return model.layers[-1], model.layers[-1].input
    made = model.outputs[0]._keras_history
    return made.operation, next(iter(made.operation._inbound_nodes[made.node_index].input_tensors), None)


def _ask_keras(model: Any) -> Ask:
    """The forward pass of `model`, of either Keras, to the logits before the softmax that it may end in."""
    own = _own(model)
    last, taken = _end(model)
    activation = getattr(last, "activation", own.activations.linear)
    if type(last).__name__ in ("Identity", "Dropout") or (
        isinstance(last, own.layers.Activation) and activation is own.activations.linear
    ):
        return _ask_keras(own.Model(model.inputs[0] if len(model.inputs) == 1 else model.inputs, taken))
    ends = type(last).__name__ == "Softmax" or isinstance(last, own.layers.Activation | own.layers.Dense | own.Model)
    if not ends or (isinstance(last, own.layers.Dense) and activation is own.activations.linear):
        return lambda images: np.asarray(model(images, training=False))
    # not `model.input`, which belongs to the first call: a Sequential may have had none
    before = own.Model(model.inputs[0] if len(model.inputs) == 1 else model.inputs, taken)
    if isinstance(last, own.Model):
        inner = _ask_keras(last)
        return lambda images: inner(before(images, training=False))
    if not isinstance(last, own.layers.Dense):
        return lambda images: np.asarray(before(images, training=False))
    kernel, bias = (0.0 if each is None else each.numpy() for each in (last.kernel, last.bias))
    return lambda images: np.asarray(before(images, training=False)) @ kernel + bias


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
