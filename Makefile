# The verbs of the project. `make run` and `make test` need only Python 3.11+, make and git.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SECONDS ?= 60

.PHONY: run test lint bench fuzz clean

run: $(STAMP)  ## three replicas on this machine, on real records, until Ctrl-C
	$(BIN)/crdtstore demo $(ARGS)

test: $(STAMP) lint  ## style, types, the smoke benchmark, every test
	$(BIN)/python -m benchmarks --smoke
	$(BIN)/python -m pytest $(ARGS)

lint: $(STAMP)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## measure this machine
	$(BIN)/python -m benchmarks

fuzz: $(STAMP)  ## fuzz every decoder, each for SECONDS, on all cores (Linux on x86_64)
	$(BIN)/python -m pip install --quiet --editable ".[fuzz]"
	$(BIN)/python -m tests.fuzzing --seconds $(SECONDS) $(ARGS)

clean:  ## remove the virtual environment and what tests left
	rm -rf $(VENV) demo-data .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzzing

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(STAMP)
