"""The `reskeras` program: its table of commands, and the only place that prints errors."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any, NoReturn

import click

from reskeras import __version__
from reskeras.errors import FAILED, ReskerasError
from reskeras.files import LAUNCHED, STUCK, Transfers

from .groups import Commands, Entry
from .output import echo, echo_text, note, progress
from .verbosity import with_verbosity

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF, errno.EPIPE)
INTERRUPTED = 130  # what a shell reports for a program stopped by Ctrl-C

NETWORKS, MODELS = "Inspect networks (no TensorFlow needed)", "Build, train, use"
PAPERS, PROGRAM = "Reproduce the papers", "Set up"
COMMANDS = {
    "list": Entry(".list", "List the named networks.", NETWORKS),
    "show": Entry(".show", "Describe a network: stages, parameters, multiply-adds, memory.", NETWORKS),
    "diff": Entry(".diff", "Compare two networks, operation by operation.", NETWORKS),
    "schema": Entry(".schema", "Print the JSON Schema of the YAML files, for editors.", NETWORKS),
    "recipes": Entry(".recipes", "List the built-in training recipes, or print one.", MODELS),
    "data": Entry(".data", "Survey a data set by class and size, or prepare it for training.", MODELS),
    "build": Entry(".build", "Compile a network to Keras and save it as a new run.", MODELS),
    "train": Entry(".train", "Train a network on images with a recipe.", MODELS),
    "launch": Entry(".launch", "Train in several processes that are restarted when one fails.", MODELS),
    "spaces": Entry(".spaces", "List the built-in search spaces, or print one.", MODELS),
    "tune": Entry(".tune", "Search a space for the best network and recipe.", MODELS),
    "evaluate": Entry(".evaluate", "Measure the accuracy of a trained run.", MODELS),
    "predict": Entry(".predict", "Classify image files.", MODELS),
    "analyse": Entry(".analyse", "Analyse networks: responses, gradients, removed units.", MODELS),
    "conform": Entry(".conform", "Identify a Keras model, and list its deviations from the papers.", MODELS),
    "port": Entry(".port", "Convert Keras, torchvision or timm weights to a run.", MODELS),
    "export": Entry(".export", "Export a run for servers, phones and other runtimes, verified.", MODELS),
    "benchmark": Entry(".benchmark", "Measure exported artefacts: speed, loading, memory.", MODELS),
    "detect": Entry(".detect", "Object detectors: show, train, evaluate, predict, export.", MODELS),
    "localise": Entry(".localise", "Localisers: train, refine, evaluate, predict, export, tune.", MODELS),
    "report": Entry(".report", "Write one HTML page about runs, or about a suite's results.", MODELS),
    "suites": Entry(".suites", "List the tables and figures that can be reproduced.", PAPERS),
    "reproduce": Entry(".reproduce", "Reproduce a table or figure, beside the published one.", PAPERS),
    "serve": Entry(".serve", "Serve a run's SavedModel with TensorFlow Serving.", MODELS),
    "doctor": Entry(".doctor", "Examine this machine for training: GPUs, choices, speed, advice.", PROGRAM),
    "completion": Entry(".completion", "Set up shell completion of commands, options and names.", PROGRAM),
}


class Program(Commands):
    """The group of all commands, run as a program."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run a command line and exit; every error becomes an exit status and at most two lines on stderr. `prog_name`
        and `standalone_mode` are fixed."""
        try:
            if "" in (sys.argv[1:] if args is None else args):
                raise ReskerasError("an argument is empty, perhaps from an unset variable; leave it out")
            status = super().main(args, "reskeras", complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except ReskerasError as error:
            echo_text(f"reskeras: {error}", err=True)
            status = STUCK if error.final and LAUNCHED in os.environ else error.status
            if error.at_once:
                sys.stdout.flush()
                os._exit(status)
        except click.ClickException as error:
            echo_text(f"reskeras: {_message(error)}", err=True)
            status = error.exit_code
        except click.Abort:  # click's form of KeyboardInterrupt
            echo("reskeras: interrupted", err=True)
            status = INTERRUPTED
        except OSError as error:
            status = _unwritten(error)
        sys.exit(status or 0)


def _unwritten(error: OSError) -> int:
    """The exit status when stdout cannot be written; other OS errors are raised again."""
    if error.filename is not None or error.errno not in UNWRITABLE:
        raise error
    # the rest of the buffer must not be flushed again at exit
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno != errno.EPIPE:  # a reader that closes the pipe early, such as head, is not an error to report
        echo(f"reskeras: standard output cannot be written: {error.strerror}", err=True)
    return FAILED


def _message(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        near = get_close_matches(error.option_name, error.possibilities or (), n=1, cutoff=0.5)
        message = f"no such option {error.option_name}{f'; did you mean {near[0]}?' if near else ''}"
    else:
        message = error.format_message().rstrip(".")
    message = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    return f"{message}\ntry '{context.command_path} --help'" if context else message


@click.group(
    cls=Program,
    table=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExamples:\n"
    "  reskeras list --filter resnet\n"
    "  reskeras show resnet-50\n"
    "  reskeras build --depth 152 --preact\n"
    "  reskeras train cifar-resnet-20 --data digits",
)
@click.version_option(__version__, prog_name="reskeras")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Residual networks as data: described in a line, counted before they are built, compiled to Keras."""
    if ctx.invoked_subcommand is None:
        echo_text(ctx.get_help())


def main() -> None:
    """Entry point of the `reskeras` program."""
    _open_standard_streams()
    # a name in another alphabet must not raise UnicodeEncodeError where the output is ASCII
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    Transfers.progress, Transfers.tell = staticmethod(progress), staticmethod(partial(note, err=True))
    commands.main()


def _open_standard_streams() -> None:
    """Open the null device for each standard stream that the caller closed: else the next file opened would get its
    descriptor, and TensorFlow's output would go into that file."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor, which is this one
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


with_verbosity(commands)
