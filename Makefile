# The verbs of the project. `make run` and `make test` need only Python 3.11+, make and git.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test lint bench clean

run: $(STAMP)  ## three replicas on this machine, on real records, until Ctrl-C
	$(BIN)/crdtstore demo $(ARGS)

test: $(STAMP) lint  ## style, types, every test; the smoke benchmark is one of them
	$(BIN)/python -m pytest $(ARGS)

lint: $(STAMP)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## measure this machine, with peers side by side; about an hour
	$(BIN)/python -m benchmarks $(ARGS)

clean:  ## remove the virtual environment and what tests left
	rm -rf $(VENV) .bench demo-data .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(STAMP)
