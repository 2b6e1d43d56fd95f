# Every target sets up .venv by itself, from constraints.txt, and again when the pins change.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test check lint smoke bench miniature clean
.DEFAULT_GOAL := demo

demo: $(READY)
	$(BIN)/expunge demo

# A module is one worker's; tests/conftest.py has the longest ones begin.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(READY)
	$(PYTEST) --durations 10

# What takes long as well.
check: lint
	$(PYTEST) --durations 10 -m "not gpu and not network"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# As users have it: the built package, and its runtime dependencies alone.
smoke: .smoke/.ready
	.smoke/bin/python -m pip install --quiet --no-deps --force-reinstall .
	.ci/smoke "$(CURDIR)/.smoke/bin/expunge"

.smoke/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .smoke
	.smoke/bin/python -m pip install --quiet -c constraints.txt .
	touch $@

bench: $(READY)
	$(BIN)/python -m benchmarks

miniature: $(READY)
	$(BIN)/python -m miniature

clean:
	rm -rf .venv .smoke build dist runs .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev,miniature]"
	touch $@
