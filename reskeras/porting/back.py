"""Our weights as another library reads them: files for keras.applications, state dicts for torchvision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.files import atomic_file
from reskeras.porting.convert import Weights, their_tensors, with_channels_reversed, with_epsilon, without_biases
from reskeras.porting.layouts import KERAS, TORCH, TORCHVISION, with_weights
from reskeras.porting.normalise import NORMALISE, Normalise
from reskeras.porting.originals import Architecture, torchvision_resnet, why_not
from reskeras.porting.recognise import Recognised, recognise
from reskeras.porting.source import Ask, Source, application_model, of_keras, of_state_dict
from reskeras.spec import operations as op
from reskeras.spec.diff import unit_changes
from reskeras.spec.fields import Spec
from reskeras.spec.inception import InceptionSpec
from reskeras.spec.lower import lower
from reskeras.spec.network import NetworkSpec
from reskeras.spec.orders import ORDERS
from reskeras.spec.plan import Plan
from reskeras.spec.resolve import resolve

KERAS_WEIGHTS, TORCH_WEIGHTS = "keras-weights", "torchvision-state-dict"
TORCHVISION_RESNET = Architecture("torchvision", "ResNet")
SUFFIXES = {KERAS_WEIGHTS: ".weights.h5", TORCH_WEIGHTS: ".safetensors"}


@dataclass(frozen=True)
class Given:
    """A network whose weights are wanted elsewhere: its spec, its weights by canonical name, its preprocessing."""

    spec: Spec
    weights: Mapping[str, np.ndarray]
    preprocessing: Preprocessing

    @property
    def plan(self) -> Plan:
        """What the weights are of."""
        return lower(self.spec)

    @property
    def classes(self) -> int:
        """How many logits it has."""
        return self.plan.units[-1].nodes[-1].units


def write_weights(given: Given, kind: str, path: Path) -> Ask:
    """Write `path`, a file of `kind`, and give what asks the other library's network with it: normalised images to
    logits.

    Biases that the other library has not are folded, ones that it has are 0; another epsilon goes into the variances.
    Pixels that keras.applications wants blue first get a first convolution turned around. Raises ReskerasError
    (status 2) where its networks are other ones, with what differs, or a library is missing.
    """
    return (_write_keras if kind == KERAS_WEIGHTS else _write_torch)(given, path)


def application_of(spec: Spec) -> tuple[str, str]:
    """The network of keras.applications that a spec may be, and how its pixels are prepared."""
    if isinstance(spec, InceptionSpec):
        return "InceptionResNetV2", "tf"
    if not isinstance(spec, NetworkSpec):
        raise ReskerasError(f"to: {KERAS_WEIGHTS} are of a residual network, which this is not")
    decided = resolve(spec)
    second = ORDERS[decided.stages[0].order].preactivates
    return (f"ResNet{decided.depth}V2", "tf") if second else (f"ResNet{decided.depth}", "caffe")


def _write_keras(given: Given, path: Path) -> Ask:
    name, pixels = application_of(given.spec)
    plan = given.plan
    model = application_model(name, None, given.classes, plan.input_shape)
    source = of_keras(model, f"keras.applications.{name}")
    known = recognise(source)
    weights = _fitted(given, known, source)
    reverse = _wants_blue_first(given.preprocessing, NORMALISE[pixels])
    if reverse:
        weights = with_channels_reversed(plan, weights)
    tensors = their_tensors(weights, KERAS, known.layers, plan)
    for layer in model.layers:
        for variable in layer.weights:
            own = tensors.get(f"{layer.name}/{variable.name}")
            # a bias or a scale that our network has not
            variable.assign(own if own is not None else np.full(variable.shape, float(variable.name == "gamma")))
    with atomic_file(path) as beside:
        model.save_weights(beside)
    again = application_model(name, str(path), given.classes, plan.input_shape)
    ask = of_keras(again, name).ask
    return (lambda images: ask(images[..., ::-1])) if reverse else ask


def _write_torch(given: Given, path: Path) -> Ask:
    try:
        from safetensors.numpy import load_file, save_file
    except ImportError as error:
        raise ReskerasError(f"to: {TORCH_WEIGHTS} needs safetensors; pip install 'reskeras[port]'") from error
    plan = given.plan
    for each in with_weights(plan):
        if TORCHVISION.layer(each.name) is None:
            raise ReskerasError(f"to: torchvision has no layer for {each.name}")
    layers = TORCHVISION.layers(plan)
    plain = without_biases(plan, dict(given.weights))
    shaped = of_state_dict(their_tensors(plain, TORCH, layers, plan), "torchvision")
    if shaped.ask is None:
        raise ReskerasError(f"to: {TORCH_WEIGHTS} cannot be proven, because {shaped.why}; pip install torch")
    tensors = their_tensors(_fitted(given, recognise(shaped), shaped), TORCH, layers, plan)
    with atomic_file(path) as beside:
        save_file(tensors, beside, metadata={"format": "pt"})
    again = load_file(path)
    if why_not(TORCHVISION_RESNET) or resolve(given.spec).squeeze:  # which it has not, and timm names alike
        return of_state_dict(again, str(path)).ask
    decided = resolve(given.spec)
    return torchvision_resnet(again, decided.stages[0].block == "bottleneck", [row.units for row in decided.stages],
                              decided.groups, decided.inner_factor, given.classes)


def _fitted(given: Given, known: Recognised, theirs: Source) -> Weights:
    """Our weights as the network of `theirs` computes the same with them; ReskerasError where it cannot."""
    plan = given.plan
    other = replace(lower(known.spec), input_shape=plan.input_shape)
    changes = list(unit_changes(_bare(other), _bare(plan)))
    if changes:
        steps = "; ".join(f"{change.units} {', '.join(f'{step.sign} {step.words}' for step in change.steps[:3])}"
                          for change in changes[:3])
        raise ReskerasError(f"to: the network is not {theirs.name}: {steps}")
    biased = {name for name, layer in known.layers.items()
              if theirs.library.tensor(layer, "conv", "bias") in theirs.tensors}
    weights = without_biases(plan, dict(given.weights), keep=biased)
    for each in plan.ops():
        if isinstance(each, op.BatchNorm) and not each.scale:
            weights[f"{each.name}/gamma"] = np.ones_like(weights[f"{each.name}/beta"])
    epsilons = {each.epsilon for each in other.ops() if isinstance(each, op.BatchNorm)}
    return with_epsilon(plan, weights, epsilons.pop())


def _bare(plan: Plan) -> Plan:
    """`plan` without what does not change the function once weights are fitted: biases, epsilon, how it starts and
    what it drops in training."""
    def bare(node: op.Op) -> op.Op | None:
        match node:
            case op.Dropout():
                return None
            case op.Conv():
                return replace(node, bias=False, bias_start=0.0, initialiser="")
            case op.BatchNorm():
                return replace(node, momentum=0.0, epsilon=1.0, gamma_start=1.0, scale=True)
            case op.Dense():
                return replace(node, initialiser="")
            case _:
                return node

    return plan.mapped(bare)


def _wants_blue_first(preprocessing: Preprocessing, wanted: Normalise) -> bool:
    """Whether pixels are prepared as the other library's are, whose channels come in the other order."""
    return wanted.reverse and preprocessing.mean.shape == (3,) and bool(
        np.allclose(preprocessing.mean, wanted.mean) and np.allclose(preprocessing.std, wanted.std))
