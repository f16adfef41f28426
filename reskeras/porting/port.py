"""A port: a source's weights in our network, both compared on the same images, and saved as a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError, failure, shown
from reskeras.evaluation.difference import TOLERANCE, proven_difference, relative_difference
from reskeras.files import local_path, reason, write_json, write_text
from reskeras.graph.compile import compile_plan
from reskeras.graph.load import save_model
from reskeras.graph.weights import places, read, write
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.catalog import name_of
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.overrides import laid_over
from reskeras.porting.convert import our_weights, with_channels_reversed, without_biases
from reskeras.porting.foreign_model import ForeignModel
from reskeras.porting.layouts import TORCH
from reskeras.porting.normalise import Normalise, as_published, normalise
from reskeras.porting.recognise import Recognised
from reskeras.printable import counted
from reskeras.run_provenance import provenance
from reskeras.runs import CLASSES_FILE, MODEL_FILE, PREPROCESSING_FILE, PROVENANCE_FILE, new_run, numbered

COLOURS = 3
# random test images: squares with a side of this share of the height (0: one pixel), from darkest to brightest
ASKED = (
    (0, 0, 255),
    (0, 0, 255),
    (0, 0, 60),
    (0, 200, 255),
    (1 / 16, 0, 255),
    (1 / 4, 0, 255),
    (1 / 2, 0, 255),
    (1, 250, 255),
)
UNSAID = "unit"  # the mode assumed for a Keras model where nothing specifies one: most people divide by 255


@dataclass(frozen=True)
class Port:
    """A source ported to our network: its spec, the model with its weights, and its preprocessing.

    `name` is the network's, `classes` the number of its classes. `measured` is what the comparison found on random
    images, at least the largest `difference` with its `tolerance` and the number of `images`; None where nothing was
    compared. It proves the port where the source has an original. `assumed`: the preprocessing is a guess, because
    nothing states it. `note` tells what is in another order than in the source.
    """

    source: ForeignModel
    title: str
    name: str
    spec: AnyNetwork | DetectorSpec
    classes: int
    model: keras.Model
    preprocessing: Preprocessing
    measured: Mapping[str, Any] | None
    assumed: bool = False
    note: str = ""

    @property
    def labels(self) -> Sequence[str]:
        """The class names published with the weights; none where there are none."""
        return self.source.published.get("label_names", ())

    def save(self, path: Path, classes: list[str]) -> None:
        """Write the run folder `path`, atomically."""
        original = self.source.original
        against = None if original is None or self.measured is None else original.words
        proof = {
            "difference": None,
            **(self.measured or {}),
            "against": against,
            "why_unproven": None if against is not None else self.source.why or "not requested",
        }
        with new_run(path, self.spec) as run:
            save_model(self.model, run.path / MODEL_FILE)
            self.preprocessing.save(run.path / PREPROCESSING_FILE)
            write_text(run.path / CLASSES_FILE, "\n".join(classes) + "\n")
            facts = provenance(
                ported={
                    "source": self.source.name,
                    "layout": self.title,
                    "sha256": self.source.digest,
                    "proof": proof,
                    "pixels": "assumed" if self.assumed else "told",
                    "note": self.note or None,
                    "published": self.source.published or None,
                }
            )
            write_json(run.path / PROVENANCE_FILE, facts)


def port(
    source: ForeignModel,
    known: Recognised,
    spec: AnyNetwork,
    normalised: str | None = None,
    fold_biases: bool = False,
    with_proof: bool = True,
) -> Port:
    """`source` as our classifier `spec`, which it is `known` as.

    BGR weights are reversed, so that our network takes RGB. `fold_biases` folds biases before batch norms into their
    means. Raises ReskerasError when tensors do not fit, `with_proof` is set and the source cannot be run (status 2), or
    the logits differ by more than TOLERANCE (status 1).
    """
    check_recognised(source, known, normalised)
    published = source.published
    pixels = normalise(normalised or UNSAID) if normalised or not known.normalise else known.normalise
    if published and not normalised:
        pixels = as_published(published, pixels)
    plan = spec.lower()
    if plan.input_shape[-1] != COLOURS and not known.modelled:  # nothing is known, and BGR means nothing
        pixels = replace(pixels, reverse=False)
    weights = weights_of(source, known, compile_plan(plan, "shapes"))
    if fold_biases:
        weights, spec = without_biases(plan, weights), laid_over(spec, {"conv_bias": False})
        plan = spec.lower()
    if pixels.reverse:
        weights = with_channels_reversed(plan, weights)
    model = filled(compile_plan(plan, name_of(spec)), weights)
    preprocessing = pixels.preprocessing(*plan.input_shape)
    measured = None
    if with_proof:  # at the input size that a Keras source fixes, whatever the run's is
        asked = replace(plan, input_shape=(*(source.size or plan.input_shape[:2]), plan.input_shape[-1]))
        proven = filled(compile_plan(asked, "proven"), weights)
        difference = difference_of(source, proven, pixels, known.modelled)
        measured = {"difference": difference, "tolerance": TOLERANCE, "images": len(ASKED)}
    unsaid = known.normalise is None or (source.library is TORCH and not {"mean", "std"} <= published.keys())
    assumed = not normalised and not known.modelled and (unsaid or plan.input_shape[-1] != COLOURS)
    classes = plan.output_shape[-1]
    return Port(source, known.title, name_of(spec), spec, classes, model, preprocessing, measured, assumed)


def weights_of(source: ForeignModel, known: Recognised, model: keras.Model) -> dict[str, np.ndarray]:
    """The source's tensors as the weights of `model`; ReskerasError where they do not fit."""
    shapes = {name: tuple(variable.shape) for name, (variable, _) in places(model).items()}
    return our_weights(source, known.title, known.layers, known.plan, shapes, known.aside, known.rearranged)


def check_recognised(source: ForeignModel, known: Recognised, normalised: str | None) -> None:
    """ReskerasError when the source is `normalised` and prepares its own pixels (status 2), or when its original is not
    the default network with these names (status 1)."""
    if known.modelled and normalised:
        raise ReskerasError(
            f"normalise: {normalised!r} is for models that take preprocessed pixels, but {source.name} "
            "preprocesses them itself; leave it out"
        )
    if source.original and source.original.unusual:
        raise failure(
            f"port: {source.original.words} is not the default network with these names: the original has "
            f"{', '.join(source.original.unusual[:3])}; nothing was saved"
        )


def filled(model: keras.Model, weights: Mapping[str, np.ndarray]) -> keras.Model:
    """`model` with `weights`; counters (a dropout's draws) stay as they are."""
    own = {name: values for name, values in read(model).items() if name.endswith("/draws")}
    write(model, {**own, **weights})
    return model


def difference_of(source: ForeignModel, model: keras.Model, pixels: Normalise, modelled: bool = False) -> float:
    """Difference of our logits from the source's on random images, which it preprocesses itself where `modelled`;
    ReskerasError (status 1) above TOLERANCE."""
    size = model.inputs[0].shape[1:]
    images = random_images(*size)
    prepared = pixels.preprocessing(*size).normalise(images).numpy()
    given = images.astype(np.float32) if modelled else prepared[..., ::-1] if pixels.reverse else prepared
    theirs = source.asked()(given)
    ours = np.asarray(model(prepared, training=False))
    difference = proven_difference(ours, theirs)
    if not difference <= TOLERANCE:
        alone = np.concatenate([model(prepared[place : place + 1], training=False) for place in range(len(prepared))])
        noise = relative_difference(alone, ours)
        whose = source.original.words if source.original else "the default network with these names"
        raise failure(
            f"port: {whose} and the port of {source.name} differ by {difference:.2g} of the largest logit, "
            f"more than {TOLERANCE:g}; nothing was saved"
            + (f"; run image by image, ours differs from itself by {noise:.2g}" if noise > TOLERANCE / 10 else "")
        )
    return difference


def random_images(height: int, width: int, channels: int) -> np.ndarray:
    """uint8 images by ASKED. A network averages pixel noise to grey, so that its activations stay small: with noise
    alone, a clipped activation such as ReLU6 would go unnoticed."""
    rng = np.random.default_rng(0)
    images = []
    for share, darkest, brightest in ASKED:
        side = max(round(share * height), 1)
        squares = rng.integers(darkest, brightest + 1, (-(-height // side), -(-width // side), channels))
        images.append(squares.repeat(side, axis=0).repeat(side, axis=1)[:height, :width])
    return np.stack(images).astype(np.uint8)


def class_names(path: str | Path | None, count: int | None, published: Sequence[str] = ()) -> list[str]:
    """Names from a file, one on a line, else those `published` with the weights, else numbers; ReskerasError when a
    file does not have `count` of them, where that is known. Without a file it has to be known."""
    if path is None and len(published) == count:
        if bad := next((name for name in published if not name.strip() or not name.isprintable()), None):
            raise ReskerasError(
                f"classes: {shown(bad)}, published with the weights, is not a class name; set --classes"
            )
        return list(published)
    if path is None:
        return numbered(count or 0)
    try:
        names = local_path(path, "classes").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise ReskerasError(f"classes: file not found: {path}") from error
    except UnicodeDecodeError as error:
        raise ReskerasError(f"classes: {path} is not UTF-8 text") from error
    except OSError as error:
        raise ReskerasError(f"classes: {path} cannot be read: {reason(error)}") from error
    if count is not None and len(names) != count:
        raise ReskerasError(f"classes: {path} has {counted(len(names), 'line')}, but the network has {count:,} classes")
    return names
