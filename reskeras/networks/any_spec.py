"""Whatever a training may be of: a network, or what is built on one."""

from __future__ import annotations

from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.built_on import BuiltOnNetwork

AnySpec = AnyNetwork | BuiltOnNetwork
