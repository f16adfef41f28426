"""The cases of each part of the accelerator's benchmark, run in a process of its own that prints a line for each.

`python -m benchmarks.cases '{"part": ..., "sizes": ...}'`, started by `accelerator.py`.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PRECISIONS = ("bfloat16", "float32", "float16")
INPUT_RECIPES = ("paper-imagenet", "modern-imagenet")
XLA, PLAIN = "XLA", "plain"
WITH_STEPS = "with steps"
EXACTNESS, INPUT = "exactness", "input"


@dataclass(frozen=True)
class Sizes:
    """How large everything is: side of the images and batch by network, how many photos, and how many seconds each
    timing takes; and the precisions that other libraries are timed in."""

    networks: dict[str, tuple[int, int]]
    photos: int
    seconds: float
    others: tuple[str, ...] = PRECISIONS


@dataclass(frozen=True)
class Part:
    """A library's trainings of a network, the input, or the checks; `weight` is its share of the time."""

    library: str
    network: str
    weight: float

    @property
    def name(self) -> str:
        """`resnet-50, reskeras`."""
        return f"{self.network}, {self.library}" if self.network else self.library

    def cases(self, sizes: Sizes) -> list[str]:
        """The names of what it measures, in order."""
        if self.library == EXACTNESS:
            from benchmarks.exactness import CHECKS

            return list(CHECKS)
        if self.library == INPUT:
            return [*INPUT_RECIPES, WITH_STEPS]
        if self.library == "reskeras":
            return [f"{precision} {form}" for precision in PRECISIONS for form in (XLA, PLAIN)]
        return list(sizes.others)


@dataclass(frozen=True)
class Row:
    """What a case gave: images per second, or a figure with its bound; or why it failed."""

    part: str
    case: str
    network: str = ""
    contender: str = ""
    xla: str = ""
    precision: str = ""
    batch: int = 0
    rate: float | None = None
    peak_bytes: int | None = None
    start_seconds: float | None = None
    figure: float | None = None
    bound: float | None = None
    holds: bool | None = None
    failure: str | None = None


def rows(part: Part, sizes: Sizes) -> Iterator[Row]:
    """A row for each case of a part; one that fails says why, and the next is tried."""
    measure = {EXACTNESS: _checked, INPUT: _fed}.get(part.library, _trained)
    with tempfile.TemporaryDirectory() as folder:
        for case in part.cases(sizes):
            try:
                yield measure(part, case, sizes, Path(folder))
            except Exception as error:  # noqa: BLE001 - the next case may work, and this one is told
                reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
                yield Row(part.name, case, part.network, part.library, failure=reason[:200])
            gc.collect()


def _trained(part: Part, case: str, sizes: Sizes, folder: Path) -> Row:
    """Training steps on one repeated batch."""
    from benchmarks.workers import batch_of, keras_model, torch_steps
    from reskeras.diagnosis.speed import repeated_batch, seconds_of, steady_rate

    precision, _, form = case.partition(" ")
    side, batch = sizes.networks[part.network]
    began = time.perf_counter()
    if part.library == "torch":
        if not _torch_has_cuda():
            return Row(part.name, case, part.network, part.library, failure="PyTorch with CUDA is not installed")
        run, xla = torch_steps(part.network, precision, "training", batch, compiled=True), "torch.compile"
    else:
        import keras

        keras.backend.clear_session()
        _reset_peak()
        classes = 1000 if side > 32 else 10
        shape = {} if part.library == "stock" else {"input_shape": (side, side, 3), "classes": classes}
        asked = form == XLA if form else "auto"
        model = keras_model(part.library, part.network, precision, asked, **shape)
        images, labels = batch_of(part.network, batch, side)
        data = repeated_batch(images, labels % classes)
        run, xla = (lambda steps: seconds_of(model, data, steps)), "yes" if model.jit_compile else "no"
    run(1)
    started = time.perf_counter() - began
    rate = steady_rate(run, batch)
    return Row(part.name, case, part.network, part.library, xla, precision, batch, rate, _peak(part.library), started)


def _fed(part: Part, case: str, sizes: Sizes, folder: Path) -> Row:
    """The input pipeline of a recipe alone, or with training steps, on JPEGs of ImageNet's sizes."""
    import reskeras
    from benchmarks.photos import make_photos
    from reskeras.data.preprocessing import Preprocessing
    from reskeras.data.registry import open_source
    from reskeras.diagnosis.speed import EPOCHS, input_rate, seconds_of, steady_rate
    from reskeras.tasks.classification.job import ClassifierJob
    from reskeras.training.strategy import open_replicas

    photos = folder / "photos"
    if not photos.exists():
        make_photos(photos, sizes.photos)
    side, batch = sizes.networks[part.network]
    by = INPUT_RECIPES[0] if case == WITH_STEPS else case
    chosen = reskeras.recipe(by, batch_size=batch)
    spec = reskeras.network(part.network, input_shape=[side, side, 3])
    job = ClassifierJob(spec, chosen, open_source(f"folder:{photos}"))
    if case != WITH_STEPS:
        return Row(part.name, case, part.network, f"input alone, {by}", "", "", batch, input_rate(job))
    subject = job.subject(Preprocessing.fit(job.source.train, *job.plan.input_shape, "scale"))
    feed, model = subject.feed(chosen, open_replicas("one")), subject.compiled(chosen, 1000)
    model.prepare(feed.finished, *feed.example())
    rate = steady_rate(lambda steps: seconds_of(model, feed.training(0, 0, EPOCHS), steps), batch)
    xla, contender = "yes" if model.jit_compile else "no", f"input and steps, {by}"
    return Row(part.name, case, part.network, contender, xla, model.layers[1].compute_dtype, batch, rate)


def _checked(part: Part, case: str, sizes: Sizes, folder: Path) -> Row:
    from benchmarks.exactness import CHECKS

    figure, bound, at_most = CHECKS[case](folder)
    holds = figure <= bound if at_most else figure >= bound
    return Row(part.name, case, figure=figure, bound=bound, holds=holds)


def _torch_has_cuda() -> bool:
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def _reset_peak() -> None:
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.reset_memory_stats("GPU:0")


def _peak(library: str) -> int | None:
    """The most bytes that were allocated on the GPU since the last reset; None on a CPU."""
    if library == "torch":
        import torch

        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] if found else None


def main() -> None:
    """Print the rows of the part that the argument describes, each as soon as it is there."""
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    told = json.loads(sys.argv[1])
    sizes: dict[str, Any] = told["sizes"] | {"networks": {k: tuple(v) for k, v in told["sizes"]["networks"].items()}}
    part = Part(**told["part"])
    from reskeras.diagnosis import speed  # the first to import TensorFlow, quietly

    speed.SECONDS = sizes["seconds"]
    for row in rows(part, Sizes(**sizes)):
        print(json.dumps(asdict(row)), file=answers, flush=True)


if __name__ == "__main__":
    main()
