"""The flags that specify a network, the same in every command, gathered into one request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Literal

import click

from reskeras.errors import ReskerasError, unknown
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.blocks import BLOCKS
from reskeras.networks.detector import BACKBONE
from reskeras.networks.families import FAMILIES
from reskeras.networks.orders import ORDERS
from reskeras.networks.request import network
from reskeras.networks.shortcuts import SHORTCUTS
from reskeras.networks.skips import SKIPS

from .completion import complete_network

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]
# flags that are shorthand for a value of another flag
STANDS_FOR = {"preact": ("order", "full_preact"), "plain": ("shortcut", "none")}


@dataclass(frozen=True)
class NetworkRequest:
    """A network as typed: NETWORK, the flags by field name, and the values of `--set`."""

    source: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    settings: tuple[str, ...] = ()

    def spec(self) -> AnyNetwork:
        """The sparse spec; ReskerasError (status 2) when the request is invalid."""
        return network(self.source, settings=self.settings, **self.fields)

    def over(self, source: str | None) -> NetworkRequest:
        """The same flags for another network."""
        return replace(self, source=source)

    def with_field(self, name: str, value: Any) -> NetworkRequest:
        """The same with the field `name`, unless `value` is None."""
        return self if value is None else replace(self, fields={**self.fields, name: value})

    @property
    def has_flags(self) -> bool:
        """Whether any flag was given."""
        return bool(self.fields or self.settings)


def network_options(
    network: Literal["required", "optional", "absent"] = "optional", metavar: str | None = None
) -> Decorator:
    """Give a command the argument NETWORK, or what `metavar` calls it, and the network flags, as one parameter
    `request`.

    With "absent" the command declares its own arguments and gets a request with flags alone.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_request(**parameters: Any) -> Any:
            typed = {name: parameters.pop(name, None) for name in ("network", *FLAGS, *STANDS_FOR, "settings")}
            return command(request=_request(typed), **parameters)

        decorated: Command = with_request
        decorators: list[Decorator] = (
            []
            if network == "absent"
            else [
                click.argument(
                    "network", required=network == "required", metavar=metavar, shell_complete=complete_network
                )
            ]
        )
        for decorator in reversed([*decorators, *_flags()]):
            decorated = decorator(decorated)
        return decorated

    return decorate


FLAGS = ("family", "depth", "block", "shortcut", "skip", "order", "classes", "input_shape")


def _request(typed: dict[str, Any]) -> NetworkRequest:
    fields = {name: typed[name] for name in FLAGS if typed[name] is not None}
    for flag, (name, value) in STANDS_FOR.items():
        if typed[flag]:
            if fields.get(name, value) != value:
                raise ReskerasError(
                    f"--{flag} means --{name} {value}, which contradicts --{name} {fields[name]}; give only one"
                )
            fields[name] = value
    for setting in typed["settings"]:
        name = setting.partition("=")[0].removeprefix(f"{BACKBONE}.")
        if name in fields:
            flags = [f"--{flag}" for flag, (stands_for, _) in STANDS_FOR.items() if typed[flag] and stands_for == name]
            raise ReskerasError(f"--set {setting} and {(flags or ['--' + name])[0]} both set {name}; give only one")
    return NetworkRequest(typed["network"], fields, typed["settings"])


class FieldChoice(click.Choice):
    """A choice of a spec field's values; a wrong one gets the same error message as in YAML files."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value not in self.choices:
            raise unknown(param.opts[-1] if param else self.name, value, self.choices)
        return value


def _flags() -> list[Decorator]:
    def choice(flag: str, values: Iterable[str], text: str) -> Decorator:
        return click.option(
            f"--{flag}", type=FieldChoice(values), metavar=flag.upper(), help=f"{text}: {', '.join(values)}."
        )

    return [
        choice("family", FAMILIES, "Preset of stem, widths and input size"),
        click.option(
            "--depth", type=int, metavar="N", help="Number of weighted layers, such as 50, or 6n+2 for cifar."
        ),
        choice("block", BLOCKS, "Convolutions of a unit"),
        choice("shortcut", SHORTCUTS, "Shortcut option where the shape changes (v1 section 3.3)"),
        choice("skip", SKIPS, "Operation on the skip connection, with parameters such as --set skip.rate=0.3"),
        choice("order", ORDERS, "Activation order"),
        click.option("--preact", is_flag=True, help="Full pre-activation; same as --order full_preact."),
        click.option("--plain", is_flag=True, help="No shortcuts; same as --shortcut none."),
        click.option("--classes", type=int, metavar="N", help="Number of classes."),
        click.option(
            "--input-shape",
            metavar="HxW[xC]",
            help="Height and width, and channels unless they follow the data: 64x64 or 224x224x3.",
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="PATH=VALUE",
            help="Set any other field, such as bn.momentum=0.99 or stages.1.width=48; may be repeated.",
        ),
    ]
