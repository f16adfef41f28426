"""`reskeras port`: weights of another library as a run, verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .output import command_line, echo, emit_json, json_option, note


@click.command(
    "port",
    epilog="\b\nExamples:\n"
    "  reskeras port ResNet50 --out saved_models/resnet50\n"
    "  reskeras port resnet18.safetensors --classes imagenet.txt\n"
    "  reskeras port my_model.keras --size 160\n"
    "  reskeras port fasterrcnn.pth --architecture torchvision:fasterrcnn_resnet50_fpn.COCO_V1\n"
    "  reskeras port weights.h5 --as ResNet101V2",
)
@click.argument("source")
@click.option(
    "--as",
    "application",
    metavar="NAME",
    help="keras.applications network of a file that holds only weights: ResNet50, ResNet101V2, ...",
)
@click.option(
    "--architecture",
    metavar="LIBRARY:NAME",
    help="Network of a state dict: timm:resnet50.a1_in1k or torchvision:resnet50, with arguments after commas "
    "(timm:resnet50,output_stride=16).  [default: the one in a config.json beside it]",
)
@click.option(
    "--classes",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File of class names, one per line.  [default: class numbers]",
)
@click.option(
    "--size", type=int, metavar="N", help="Input size of N x N pixels.  [default: the source's, else 224 or 299]"
)
@click.option(
    "--normalise",
    metavar="MODE",
    help="Pixel normalisation that the weights expect: caffe, tf, torch, unit (divided by 255) or raw.  "
    "[default: the model's own or the library's, else unit]",
)
@click.option(
    "--batch-norm-epsilon",
    type=float,
    metavar="NUMBER",
    help="Epsilon of a state dict's batch norms, which it does not hold: 0 for torchvision's "
    "fasterrcnn_resnet50_fpn.COCO_V1 and what was fine-tuned from it.  [default: the architecture's, else 1e-05]",
)
@click.option("--fold-biases", is_flag=True, help="Fold biases before batch norms into their means.")
@click.option("--without-proof", is_flag=True, help="Keep the run if the source cannot be run for verification.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The new run folder.  [default: saved_models/NETWORK-ported]",
)
@json_option
def command(
    source: str,
    application: str | None,
    architecture: str | None,
    classes: Path | None,
    size: int | None,
    normalise: str | None,
    batch_norm_epsilon: float | None,
    fold_biases: bool,
    without_proof: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Convert SOURCE, a network trained elsewhere, to a run.

    SOURCE is a network of keras.applications to download (ResNet50, 101, 152, their V2, InceptionResNetV2), a Keras
    model (.keras, .h5), or weights of torchvision's or timm's residual networks (.safetensors, .pth), torchvision's
    Faster R-CNN on a ResNet's feature pyramid among them. A Keras model is recognised by what it computes, weights
    alone by names and shapes. Both networks are then run on the same random images, and the port is rejected if a logit
    differs by more than 1e-4 of the largest. The port of a detector is rejected if, given the same proposals, a
    probability or a corner differs by more than 1e-4, or if fewer than 99% of the detections agree. A state dict does
    not describe its whole network: it is verified only if --architecture names it and that library is installed.
    Nothing in a file is executed.
    """
    from reskeras.api import port
    from reskeras.tasks.task import find_task

    run = port(
        source,
        application=application,
        architecture=architecture,
        classes=classes,
        size=size,
        normalise=normalise,
        fold_biases=fold_biases,
        batch_norm_epsilon=batch_norm_epsilon,
        with_proof=not without_proof,
        out=out,
    )
    ported = run.folder.provenance()["ported"]
    proof = ported["proof"]
    if as_json:
        emit_json({"run": str(run.path), "network": run.name, **ported})
        return
    echo(f"source     {ported['source']}, named as {ported['layout']}")
    task, spec = find_task(run.task), run.folder.spec()
    echo(f"network    {run.name}, {spec.describe()}")
    assumed = "; assumed, the source does not say" if ported["pixels"] == "assumed" else ""
    echo(f"pixels     {task.describe_pixels(spec, run.preprocessing())}{assumed}")
    if ported["note"]:
        echo(f"note       {ported['note']}")
    _echo_proof(proof)
    echo(f"saved      {run.path}")
    note(f"next       {command_line(*task.words('predict'), run.path)} IMAGE...")


def _echo_proof(proof: dict[str, Any]) -> None:
    """Print what the port was compared with: the original, which proves it, or the default network for its names."""
    if proof["difference"] is None:
        echo(f"proof      none: {proof['why_unproven']}")
        return
    if "agreement" in proof:
        logits = f"in {proof['images']} random images, probabilities and corners of its proposals differ from those of"
        share = (
            f"by {proof['difference']:.1e} (max {proof['tolerance']:.0e}); {proof['agreement']:.2%} of "
            f"{proof['detections']} detections agree"
        )
    else:
        logits = f"logits of {proof['images']} random images differ from those of"
        share = f"by {proof['difference']:.1e} of the largest (max {proof['tolerance']:.0e})"
    if proof["against"]:
        echo(f"proof      {logits} {proof['against']} {share}")
        return
    echo(f"check      {logits} the default network with these names {share}")
    echo(
        f"proof      none: {proof['why_unproven']}; use --architecture timm:NAME or torchvision:NAME to compare "
        "with the original"
    )
