"""`reskeras train`: trains a network on data by a recipe into a run folder; `train_as` does so for any task."""

from __future__ import annotations

import click

from reskeras.readers import CLASSES, usages

from .completion import complete_data
from .network_options import NetworkRequest, network_options
from .output import note
from .training_options import DISTILLATION, TrainingRequest, training_options


@click.command(
    "train",
    epilog="\b\nExamples:\n"
    "  reskeras train cifar-resnet-20 --data digits\n"
    "  reskeras train cifar-resnet-56 --data cifar10 --data-dir ~/tensorflow_datasets --epochs 2\n"
    "  reskeras train cifar-resnet-110 --data cifar10 --recipe paper-cifar --out saved_models/r110 --resume\n"
    "  reskeras train --from saved_models/cifar --data folder:photos --freeze stage2 --out saved_models/tuned\n"
    "  reskeras train --from saved_models/cifar --data cifar10 --quantise int8-w4 --out saved_models/cifar-w4\n"
    "  reskeras train --depth 18 --data folder:photos --input-shape 64x64x3 --out saved_models/photos",
)
@network_options()
@click.option(
    "--data",
    default="digits",
    show_default=True,
    metavar="SOURCE",
    shell_complete=complete_data,
    help=f"{usages(CLASSES)}; append @N to use N training images.",
)
@click.option(
    "--task",
    default="classification",
    show_default=True,
    metavar="TASK",
    help="Task to train for; for others see reskeras detect and reskeras localise.",
)
@click.option(
    "--quantise",
    metavar="KIND",
    help="Train as an integer artefact computes, int8 or int8-w4, from the weights of --from RUN.",
)
@training_options(
    recipe="the one in NETWORK's file, else quick, with --quantise quantise",
    start="Start from the weights and preprocessing of this run, and from its network unless NETWORK is given.",
    teacher=DISTILLATION,
)
def command(request: NetworkRequest, data: str, task: str, quantise: str | None, training: TrainingRequest) -> None:
    """Train NETWORK on images with a recipe.

    NETWORK is a name from the catalogue (reskeras list), a YAML file or a run folder; flags override its fields. The
    classes and input channels follow the data. The run folder keeps the network, the recipe, the preprocessing, the
    metrics of each epoch, the best and the last model, both float32, and the newest states of the training. Ctrl-C or
    SIGTERM stops training after the current step; the same command with --resume continues it.
    """
    train_as(task, request.with_field("quantise", quantise), data, training)


def train_as(name: str, request: NetworkRequest, data: str, training: TrainingRequest) -> None:
    """Train the requested network for the task called `name`, evaluate it, and print the result."""
    from reskeras.networks.request import recipe_of
    from reskeras.recipes.recipe import recipe as read_recipe
    from reskeras.runs import open_run
    from reskeras.tasks.task import find_task

    task = find_task(name)
    if training.start and request.source is None:
        open_run(training.start)  # what is no run is an error of --from, not of NETWORK
        request = request.over(str(training.start))
    spec = task.spec(request.source, settings=request.settings, **request.fields)
    named = training.recipe or recipe_of(request.source, task.recipe_for(spec))
    read_recipe(named, **training.recipe_fields)  # wrong requests fail before TensorFlow loads
    if not training.as_json:
        note(f"{task.name_of(spec)}: {spec.describe()}")
    if training.seeds is not None:
        from reskeras.experiments.seeds import train_seeds

        training.finish_seeds(train_seeds(spec, data, named, seeds=training.seeds, task=name, **training.keywords))
        return
    from reskeras.tasks.train import train

    training.finish(train(spec, data, named, task=name, **training.keywords))
