"""`reskeras localise`: the commands for localisers."""

from __future__ import annotations

import click

from .groups import Commands, Entry
from .output import echo_text

RUNS = "Train, use"
COMMANDS = {
    "train": Entry(".localise_train", "Train a localiser on annotated images with a recipe.", RUNS),
    "refine": Entry(".localise_refine", "Train a refiner, which judges a localiser's best boxes anew.", RUNS),
    "evaluate": Entry(".localise_evaluate", "Measure the localisation error of a trained localiser.", RUNS),
    "predict": Entry(".localise_predict", "Say where objects are in image files.", RUNS),
    "export": Entry(".localise_export", "Export a trained localiser or refiner, and verify it.", RUNS),
    "tune": Entry(".localise_tune", "Search for the best localiser and recipe.", RUNS),
}


@click.group(
    "localise",
    cls=Commands,
    table=COMMANDS,
    invoke_without_command=True,
    epilog="\b\nExamples:\n"
    "  reskeras localise train cifar-resnet-20 --input-shape 56x56x3 --data digits-loc\n"
    "  reskeras localise refine cifar-resnet-20 --teacher saved_models/where --data digits-loc\n"
    "  reskeras localise evaluate saved_models/cifar-resnet-20-localiser-digits-loc --dense 56,64\n"
    "  reskeras localise predict saved_models/cifar-resnet-20-localiser-digits-loc seven.png --out found",
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Localisers on residual networks (v1 appendix C): where in an image the object of a given class is.

    LOCALISER is a YAML file with the field trunk, a localiser's run, or any network to use as the trunk. The trunk's
    input shape is the crop that it is trained on.
    """
    if ctx.invoked_subcommand is None:
        echo_text(ctx.get_help())
