"""Whatever a training may be of: a network, or what is built on one."""

from __future__ import annotations

from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.localiser import LocaliserSpec
from reskeras.networks.refiner import RefinerSpec

AnySpec = AnyNetwork | DetectorSpec | LocaliserSpec | RefinerSpec
