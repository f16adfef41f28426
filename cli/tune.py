"""`reskeras tune`: hyperparameter search over networks and recipes."""

from __future__ import annotations

from typing import Any

import click

from reskeras.readers import CLASSES, usages

from .completion import complete_data
from .network_options import NetworkRequest, network_options
from .search_options import search_as, searching_options


@click.command(
    "tune",
    epilog="\b\nExamples:\n"
    "  reskeras tune cifar-resnet-20 --space depth-width --data digits --trials 12 --max-params 300k\n"
    "  reskeras tune cifar-resnet-20 --space mine.yaml --tuner hyperband --epochs 9 --data cifar10\n"
    "  reskeras tune cifar-resnet-20 --space all --objective val_accuracy --objective multiply_adds:min:0.02\n"
    "  reskeras tune --show saved_models/tune-cifar-resnet-20-digits",
)
@network_options()
@searching_options(
    click.option(
        "--data",
        default="digits",
        show_default=True,
        metavar="SOURCE",
        shell_complete=complete_data,
        help=f"{usages(CLASSES)}; append @N to use N training images.",
    ),
    "quick",
    "val_accuracy",
)
def command(request: NetworkRequest, **asked: Any) -> None:
    """Search SPACE for the best network and recipe, starting from NETWORK.

    Every trial is trained as by `reskeras train`, with some of the training images held out; candidates that exceed a
    limit are skipped before they are built. The same command resumes a search that was stopped or killed. The folder
    contains trials.csv, plots, TensorBoard files, and best.yaml, which `reskeras train` and `build` accept.

    On a cluster, start the same command on each machine with KERASTUNER_TUNER_ID (chief, or a worker's name),
    KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT set, and --out on a shared disk.
    """
    search_as("classification", request, **asked)
