"""Reads the tensors of a PyTorch file by name, unwrapping what training scripts add; nothing in it is executed."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reskeras.bounded import check_archive, check_arrays
from reskeras.errors import ReskerasError, failure
from reskeras.porting.layouts import TORCH

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
# keys under which training scripts keep weights, trained ones before moving averages; and prefixes of names
WRAPPED = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
)
PREFIXES = ("module.", "model.", "net.", "network.", "backbone.", "_orig_mod.", "model_ema.", "ema.")
COUNTERS = (*TORCH.ignored, "n_averaged")
# torchvision's names before 0.13, which the published weights still have
FORMER = (
    (re.compile(r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)"), r"\1.0.\2"),
    (re.compile(r"(rpn\.head\.conv)\.(weight|bias)"), r"\1.0.0.\2"),
)
DEEPEST = 5  # wrappers in wrappers
NOT_LOADED = re.compile(r"GLOBAL (\S+) was not an allowed global")


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """float32 tensors by name. ReskerasError: status 2 where the package that reads the file is missing, 1 for a file
    that is broken, has no weights, or holds more than tensors."""
    return _floats((_safetensors if path.suffix == ".safetensors" else _pickled)(path), path)


def _safetensors(path: Path) -> Mapping[str, np.ndarray]:
    try:
        from safetensors import SafetensorError
    except ImportError as error:
        raise ReskerasError("port: safetensors is not installed; pip install 'reskeras[port]'") from error
    try:
        try:  # NumPy lacks bfloat16 and float8
            import torch  # noqa: F401 - whether it is there
            from safetensors.torch import load_file
        except ImportError:
            from safetensors.numpy import load_file as load_arrays

            return load_arrays(path)
        return {name: tensor.float().numpy() for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise failure(f"port: {path} is broken or not a safetensors file: {reason}") from error


def _pickled(path: Path) -> Mapping[str, np.ndarray]:
    """PyTorch's own format: a pickle, from which `weights_only` creates nothing but tensors."""
    try:
        import torch
    except ImportError as error:
        raise ReskerasError(
            f"port: {path} cannot be read without PyTorch; pip install torch, or save it as .safetensors"
        ) from error
    try:
        if zipfile.is_zipfile(path):
            check_archive(path, "port")
        loaded = _unwrapped(torch.load(path, map_location="cpu", weights_only=True), path)
        tensors = {str(name): tensor for name, tensor in loaded.items() if isinstance(tensor, torch.Tensor)}
        # a view may claim any shape, whatever its storage
        check_arrays(sum(tensor.numel() * 4 for tensor in tensors.values()), path, "port")
        return {name: tensor.detach().float().numpy() for name, tensor in tensors.items()}
    except ReskerasError:
        raise
    except Exception as error:  # pickle, zipfile and PyTorch each have errors of their own; anything but tensors is one
        if found := NOT_LOADED.search(str(error)):
            raise failure(
                f"port: {path} contains a {found[1]} besides its tensors, which is not executed; save only the "
                "weights, with torch.save(model.state_dict(), FILE)"
            ) from error
        lead = "KeyError " if isinstance(error, KeyError) else ""  # whose text is the key alone
        reason = lead + " ".join(str(error).split())[:200]
        raise failure(
            f"port: {path} is broken, or contains more than tensors, which is not executed: {reason}"
        ) from error


def _unwrapped(loaded: Any, path: Path) -> Mapping[Any, Any]:
    """The mapping of tensors in a checkpoint: itself, the one under a usual key, or the only one with tensors."""
    for _ in range(DEEPEST):
        if not isinstance(loaded, Mapping) or _holds_tensors(loaded):
            break
        inside = {key: value for key, value in loaded.items() if isinstance(value, Mapping)}
        known = [key for key in WRAPPED if key in inside] or [
            key for key, value in inside.items() if _holds_tensors(value)
        ][:2]
        if not known or (known[0] not in WRAPPED and len(known) > 1):
            break
        loaded = inside[known[0]]
    if not isinstance(loaded, Mapping) or not _holds_tensors(loaded):
        keys = ", ".join(map(str, list(loaded)[:8])) if isinstance(loaded, Mapping) else type(loaded).__name__
        raise failure(
            f"port: {path} has no named tensors; it has {keys or 'nothing'}; weights are expected in "
            f"{', '.join(WRAPPED)}"
        )
    return loaded


def _holds_tensors(mapping: Mapping[Any, Any]) -> bool:
    import torch

    return any(isinstance(value, torch.Tensor) and value.ndim for value in mapping.values())


def _current(name: str) -> str:
    """The name that a tensor has today."""
    matched = ((pattern.fullmatch(name), current) for pattern, current in FORMER)
    return next((match.expand(current) for match, current in matched if match), name)


def _floats(tensors: Mapping[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    found = {
        name: np.asarray(tensor, np.float32)
        for name, tensor in tensors.items()
        if name.rpartition(".")[2] not in COUNTERS
    }
    while found and (
        prefix := next((each for each in PREFIXES if all(map(str.startswith, found, [each] * len(found)))), None)
    ):
        found = {name.removeprefix(prefix): values for name, values in found.items()}
    found = {_current(name): values for name, values in found.items()}
    if not found:
        raise failure(f"port: {path} has no tensors")
    if bad := [name for name, tensor in found.items() if not np.isfinite(tensor).all()]:
        raise failure(f"port: {path} has non-finite numbers in {bad[0]}")
    return found
