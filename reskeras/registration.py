"""Registers our layers with Keras once both are imported, so that `keras.models.load_model` reads what `save` wrote."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `import reskeras` stays quick
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def register_with_keras() -> None:
    """Register the layers now if Keras is imported already, else when it is; never with another backend."""
    if "keras" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _UponKeras())  # type: ignore[arg-type]


def _register() -> None:
    import keras

    if keras.backend.backend() == "tensorflow":
        import reskeras.graph.keras_layers
        import reskeras.graph.scanned  # noqa: F401


class _UponKeras:
    """Finds Keras as the other finders do, and registers the layers after it has been imported."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "keras":
            return None
        from importlib.util import find_spec

        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def and_register(module: ModuleType) -> None:
                execute(module)
                _register()

            spec.loader.exec_module = and_register  # type: ignore[method-assign]
        return spec
