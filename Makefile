# Two commands for a fresh machine: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= $(shell for each in python3.11 python3.12 python3.13 python3; do \
	"$$each" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& command -v "$$each" && break; done)
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
INSTALLED := $(VENV)/.installed
DEMO := saved_models/demo

# a virtual environment in $(1) with the extra $(2)
define installed
	@test -n "$(PYTHON)" || { echo "make: Python 3.11, 3.12 or 3.13 not found; set PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(1)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$(2)]'
	touch $@
endef

.PHONY: setup demo docs test test-slow test-peers lint docs-examples bench bench-detection bench-accelerator clean

setup: $(INSTALLED)

$(INSTALLED): setup.py
	$(call installed,$(VENV),test)

demo: setup  ## train cifar-resnet-20 on real handwritten digits, evaluate, export
	rm -rf $(DEMO)
	$(BIN)/reskeras train cifar-resnet-20 --data digits --recipe quick --out $(DEMO)
	$(BIN)/reskeras evaluate $(DEMO)
	$(BIN)/reskeras export $(DEMO) --to serving --to tflite

# where the repository is published, for links to the files that pages are made of: make docs REPOSITORY=https://...
REPOSITORY ?=

docs: setup  ## the documentation site, in build/site; a broken link is an error
	$(BIN)/python -m docs.site $(if $(REPOSITORY),--repository $(REPOSITORY))

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/lint-imports
	$(BIN)/mypy

test: lint  ## all but the slow tests, one process per core
	$(BIN)/python -m pytest -n auto --dist loadfile --durations=100 --durations-min=4

test-slow: setup  ## the tests that take minutes
	$(BIN)/python -m pytest -m 'slow and not peers'

test-peers: $(PEERS)/.installed  ## compare with other libraries' own networks, in a separate environment
	$(PEERS)/bin/python -m pytest -n auto -m peers

$(PEERS)/.installed: setup.py
	$(call installed,$(PEERS),peers)

docs-examples: setup  ## run all examples of README and docs, the slow ones too; rewrite outputs that no longer match
	$(BIN)/python -m docs.site.examples --slow --update $(PAGES)

# images for the benchmarks that read data: make bench DATA="--data cifar10 --data-dir DIR --batch 128"
DATA ?=

bench: setup  ## side-by-side timings, about 40 minutes on an idle machine; docs/benchmarks.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m benchmarks.pipeline $(DATA)
	$(BIN)/python -m benchmarks.epochs $(DATA)
	$(BIN)/python -m benchmarks.depth
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.report

bench-detection: $(PEERS)/.installed  ## detectors beside torchvision's; docs/benchmarks.md
	$(PEERS)/bin/python -m benchmarks.detection
	$(PEERS)/bin/python -m benchmarks.report

bench-accelerator: setup  ## one GPU in eight minutes; without one a tiny form that only shows that it runs
	test ! -e /proc/driver/nvidia/version || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[gpu]'
	$(BIN)/python -m benchmarks.accelerator

clean:
	rm -rf $(VENV) $(PEERS) build *.egg-info .pytest_cache .ruff_cache .import_linter_cache
