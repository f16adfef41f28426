"""Prints the evaluation of a run: known tasks have their own tables, other tasks a list of figures."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from .output import facts

if TYPE_CHECKING:
    from reskeras.tasks.run import Run

SHOWN = {
    "classification": ".classification_results:echo_evaluation",
    "multilabel": ".multilabel_results:echo_evaluation",
    "detection": ".detect_results:echo_detection_evaluation",
    "localisation": ".localise_results:echo_localisation",
    "refinement": ".localise_results:echo_localisation",
}


BY_CLASS = {"classification": ".classification_results:echo_classes", "multilabel": ".multilabel_results:echo_classes"}


def echo_classes(result: Any, run: Run) -> None:
    """Print what the evaluation `result` of a classifier `run` says of each class."""
    resolve_name(f"{__package__}{BY_CLASS[run.task]}")(result)


def echo_result(result: Any, run: Run) -> None:
    """Print the evaluation `result` of `run`."""
    if run.task in SHOWN:
        resolve_name(f"{__package__}{SHOWN[run.task]}")(result, run)
        return
    facts(
        [
            (name.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value), "")
            for name, value in result.as_dict().items()
            if isinstance(value, int | float | str)
        ]
    )
