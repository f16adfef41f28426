"""The documentation site: pages written from the things themselves, and hand-written ones, built by `make docs`."""
