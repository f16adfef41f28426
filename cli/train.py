"""`reskeras train`: a network, data and a recipe into a run folder."""

from __future__ import annotations

from pathlib import Path

import click

from .network_options import NetworkRequest, network_options
from .output import emit_json
from .results import echo_evaluation
from .run_options import numbers_by_name


@click.command(
    "train",
    epilog="\b\nExamples:\n"
    "  reskeras train cifar-resnet-20 --data digits\n"
    "  reskeras train cifar-resnet-56 --data cifar10 --data-dir ~/tensorflow_datasets --epochs 2\n"
    "  reskeras train cifar-resnet-110 --data cifar10 --recipe paper-cifar --out saved_models/r110 --resume\n"
    "  reskeras train --from saved_models/cifar --data folder:photos --freeze stage2 --out saved_models/tuned\n"
    "  reskeras train --depth 18 --data folder:photos --input-shape 64x64x3 --out saved_models/photos",
)
@network_options()
@click.option("--data", default="digits", show_default=True, metavar="SOURCE",
              help="digits, cifar10, cifar100, tfds:NAME[/CONFIG] or folder:PATH; with @N at its end, N training "
              "images.")
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where TFDS sets are prepared.")
@click.option("--recipe", metavar="RECIPE", help="A recipe's name (reskeras recipes) or a YAML file.  "
              "[default: that of NETWORK's file if it has one, else quick]")
@click.option("--from", "start", type=click.Path(path_type=Path), metavar="RUN",
              help="Begin with this run's weights and preprocessing; its network unless NETWORK is given.")
@click.option("--freeze", metavar="STAGE", help="Learn nothing up to and with this stage or unit, such as stage2.")
@click.option("--frozen-bn", is_flag=True, default=None, help="Batch norm keeps its statistics, scale and shift.")
@click.option("--rate-factor", "factors", multiple=True, metavar="PATTERN=F",
              help="Times the learning rate for weights of such names, as 'stage1_*=0.1'; may be repeated.")
@click.option("--epochs", type=int, metavar="N", help="Instead of the recipe's.")
@click.option("--batch-size", type=int, metavar="N", help="Instead of the recipe's.")
@click.option("--learning-rate", type=float, metavar="RATE", help="Instead of the recipe's.")
@click.option("--seed", type=int, metavar="N", help="Instead of the recipe's.")
@click.option("--precision", metavar="P", help="auto, float32 or mixed_bfloat16, instead of the recipe's.")
@click.option("--form", metavar="FORM", help="unrolled, scanned (equal units as one loop) or auto (scanned when deep).")
@click.option("--recompute", is_flag=True, default=None, help="Compute units again in the backward pass; saves memory.")
@click.option("--strategy", default="auto", show_default=True, metavar="S",
              help="one, mirrored (all GPUs), multi-worker (TF_CONFIG or Slurm), or auto.")
@click.option("--devices", type=int, metavar="N", help="How many GPUs; without a GPU, logical CPUs.")
@click.option("--resume", is_flag=True, help="Go on from the run folder's newest state.")
@click.option("--deterministic", is_flag=True, default=None, help="The same numbers to the last bit each time.")
@click.option("--profile", type=int, default=0, metavar="STEPS", help="Write a TensorBoard profile of some steps.")
@click.option("--histograms", is_flag=True, help="Write TensorBoard histograms of the weights each epoch.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="The new run folder.  [default: saved_models/NETWORK-DATA]")
@click.option("--json", "as_json", is_flag=True, help="The result for programs; progress goes to stderr.")
def command(
    request: NetworkRequest, data: str, data_dir: Path | None, recipe: str | None, out: Path | None, as_json: bool,
    strategy: str, devices: int | None, resume: bool, profile: int, histograms: bool, start: Path | None,
    factors: tuple[str, ...],
    **recipe_fields: int | float | str | bool | None,
) -> None:
    """Train NETWORK on images, by a recipe.

    NETWORK is a name of the catalogue (reskeras list), a YAML file or a run folder; flags are laid over it.
    Classes and input channels follow the data. The run folder keeps the network, the recipe, the
    preprocessing, the metrics of each epoch, the best and the last model, both float32, and the newest states of
    the training. Ctrl-C or SIGTERM stops it after the step it is in; the same command with --resume goes on.
    """
    from reskeras.spec.catalog import name_of
    from reskeras.spec.recipe import recipe as read_recipe
    from reskeras.spec.request import recipe_of

    from .overview import understood

    if start and request.source is None:
        request = request.over(str(start))
    if factors:
        recipe_fields["rate_factors"] = numbers_by_name("rate-factor", factors, "stage1_*=0.1")
    spec, named = request.spec(), recipe or recipe_of(request.source)
    read_recipe(named, **recipe_fields)  # wrong requests fail before TensorFlow loads
    if not as_json:
        click.echo(f"{name_of(spec)}: {understood(spec)}")
    from reskeras.api import train
    from reskeras.training.cluster import cluster

    run = train(spec, data, named, out=out, data_dir=data_dir, tell=lambda note: click.echo(note, err=as_json),
                resume=resume, strategy=strategy, devices=devices, profile=profile, histograms=histograms,
                start=start, **recipe_fields)
    if (here := cluster()) and not here.is_chief:
        return  # the chief tells
    result = run.evaluate()
    if as_json:
        emit_json({"run": str(run.path), **result.as_dict()})
        return
    echo_evaluation(result)
    click.echo(f"saved      {run.path}")
    click.echo(f"next       reskeras export {run.path}")
