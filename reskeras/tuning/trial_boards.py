"""TensorBoard files of a search: the curves of each trial, and its values for the HParams page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from reskeras.tuning.outcome import Outcome


def write_board(folder: Path, outcome: Outcome, curves: Sequence[Sequence[Mapping[str, float]]]) -> None:
    """Write to `folder`: scalars by epoch of the first execution, the trial's figures, and its hyperparameters."""
    values = {
        name: value if isinstance(value, bool | int | float | str) else json.dumps(value)
        for name, value in outcome.values.items()
    }
    with tf.summary.create_file_writer(str(folder)).as_default():
        hparams.hparams(values, trial_id=outcome.trial)
        for row in curves[0] if curves else ():
            for name in row.keys() - {"epoch"}:
                tf.summary.scalar(name, row[name], step=int(row["epoch"]))
        for name, value in outcome.figures.items():
            tf.summary.scalar(f"trial/{name}", value, step=0)
