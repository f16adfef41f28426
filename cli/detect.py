"""`reskeras detect`: the commands for object detectors."""

from __future__ import annotations

import click

from .groups import Commands, Entry
from .output import echo_text

DETECTORS, RUNS = "Inspect detectors (no TensorFlow needed)", "Train, use"
COMMANDS = {
    "show": Entry(".detect_show", "Describe a detector: parts, parameters, multiply-adds, anchors.", DETECTORS),
    "train": Entry(".detect_train", "Train a detector on annotated images with a recipe.", RUNS),
    "evaluate": Entry(".detect_evaluate", "Measure the average precision of a trained detector.", RUNS),
    "predict": Entry(".detect_predict", "Detect objects in image files.", RUNS),
    "export": Entry(".detect_export", "Export a trained detector to SavedModel, and verify it.", RUNS),
}


@click.group(
    "detect",
    cls=Commands,
    table=COMMANDS,
    invoke_without_command=True,
    epilog="\b\nExamples:\n"
    "  reskeras detect show resnet-50 --input-shape 600x800x3\n"
    "  reskeras detect train resnet-18 --input-shape 240x320x3 --data voc:VOC2007 --from saved_models/photos\n"
    "  reskeras detect evaluate saved_models/resnet-18-detector-VOC2007 --refine\n"
    "  reskeras detect predict saved_models/resnet-18-detector-VOC2007 street.jpg --out found",
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Faster R-CNN object detectors on residual networks (v1 appendix A).

    DETECTOR is a YAML file with the field backbone, a detector's run, or any network to use as the backbone. The
    backbone's input shape is the canvas that images are scaled to fit. Use `reskeras data SOURCE` to survey a SOURCE.
    """
    if ctx.invoked_subcommand is None:
        echo_text(ctx.get_help())
