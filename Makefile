# The verbs of the project. `make run` and `make test` need only Python 3.11+, make and git.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SECONDS ?= 60
# Tests that wait for processes leave a third of two cores to a third worker.
WORKERS ?= 3

.PHONY: run cdp cdp-chaos crm crm-backfill crm-chaos test lint bench sim laws faults fuzz
.PHONY: fuzz-updates mutants clean

run: $(STAMP)  ## three replicas on this machine, on real records, until Ctrl-C
	$(BIN)/crdtstore demo $(ARGS)

cdp: $(STAMP)  ## a CDP replica in two regions, and a shop's visitors who come to both
	$(BIN)/python -m tests.replicas.cdp $(ARGS)

cdp-chaos: $(STAMP)  ## partitions and kills of CDPs, a CRM, Redis and PostgreSQL: SEEDS=20
	$(BIN)/python -m tests.replicas.cdp.chaos --seeds $(or $(SEEDS),10) $(ARGS)

crm: $(STAMP)  ## a CRM replica beside a local Salesforce and one beside a local HubSpot
	$(BIN)/python -m tests.replicas.crm $(ARGS)

crm-backfill: $(STAMP)  ## load a million contacts from a local Salesforce: ARGS="--records 40000"
	$(BIN)/python -m tests.replicas.crm.backfill $(ARGS)

crm-chaos: $(STAMP)  ## both vendors misbehave in every way, services are killed: SEEDS=20
	$(BIN)/python -m tests.replicas.crm.chaos --seeds $(or $(SEEDS),10) $(ARGS)

test: $(STAMP) lint  ## style, types, every test, by WORKERS processes; with smoke benchmarks
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

faults: $(STAMP)  ## real processes, real faults, for about six minutes
	$(BIN)/python -m tests.faults $(ARGS)

lint: $(STAMP)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## measure this machine, with peers side by side; an hour and a half
	$(BIN)/python -m benchmarks $(ARGS)

fuzz: $(STAMP)  ## fuzz every decoder, each for SECONDS, on all cores (Linux on x86_64)
	$(BIN)/python -m pip install --quiet --editable ".[fuzz]"
	$(BIN)/python -m tests.fuzzing --seconds $(SECONDS) $(ARGS)

sim: $(STAMP)  ## search for a history that breaks a promise: SEEDS=2000, ARGS="--faults crash"
	$(BIN)/python -m crdtstore.testing.simulation --seeds $(or $(SEEDS),500) $(ARGS)

laws: $(STAMP)  ## the laws of cells, documents, policies and persons, 2,000 examples each
	$(BIN)/python -m pytest tests/laws --hypothesis-profile=long $(ARGS)

fuzz-updates: $(STAMP)  ## a million hostile updates of Yjs clients against a replica: CASES=1000000
	$(BIN)/python -m tests.fuzzing.hostile_updates --cases $(or $(CASES),1000000) $(ARGS)

mutants: $(STAMP)  ## put deliberate bugs in, one at a time: each must be caught
	$(BIN)/python -m tests.mutants $(ARGS)

clean:  ## remove the virtual environment and what tests left
	rm -rf $(VENV) .bench .fuzzing .hypothesis .pytest_cache .mypy_cache .ruff_cache
	rm -rf demo-data cdp-data crm-data

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(STAMP)
