# All commands of the project; `make help` lists them.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What running needs is installed; what the demo needs, or tests and linters, as well.
READY := $(VENV)/.ready
DEMO := $(VENV)/.demo
DEVELOP := $(VENV)/.dev

# Else pytest compiles all tests anew in each of its processes, which takes them seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install setup fit-etcd etcd databases run demo test crashes soak bench docs lint format types lock fresh clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## make the virtual environment, with what running needs

setup: $(DEVELOP)  ## the same with what tests and linters need

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "alibroker needs Python 3.11 or later; name one with PYTHON=...")'
	@$(PYTHON) install/packages.py $(VENV)
	@touch $(READY)

$(DEMO): $(READY)
	@$(PYTHON) install/packages.py $(VENV) demo
	@touch $(DEMO)

$(DEVELOP): $(READY)
	@$(PYTHON) install/packages.py $(VENV) dev
	@# Type checkers find the namespace package through this link.
	@mkdir -p .types && ln -sfn .. .types/alibroker
	@touch $(DEVELOP)

# An etcd that works here, looked for once; the broker says what is known against it.
fit-etcd: $(READY)
	@{ [ -e $(VENV)/.etcd ] && $(BIN)/python -m alibroker.etcd.binary >/dev/null 2>&1; } || \
		{ $(PYTHON) install/step.py "Getting etcd" install/etcd $(VENV) && touch $(VENV)/.etcd; }

etcd: $(READY)  ## get the best etcd server that can be had, and show which it is
	@rm -f $(VENV)/.etcd
	@$(MAKE) -s fit-etcd
	@$(BIN)/python -m alibroker.etcd.binary

databases:  ## install the database servers that the sandbox uses, if that is possible
	@PYTHON=$(PYTHON) install/databases

run: fit-etcd  ## start the broker in front of a local Alibaba Cloud, until Ctrl-C
	@$(BIN)/alibroker run

demo: $(DEMO) fit-etcd databases  ## walk databases and a bucket through their lives, against a broker of its own
	@$(BIN)/alibroker demo

test: $(DEVELOP) fit-etcd databases  ## run all tests
	$(BIN)/pytest -m "not soak" -n auto --durations=10

crashes: $(DEVELOP) fit-etcd  ## crash everything 200 times while it works, and audit what came of it
	SANDBOX_DATA_PLANES=off $(BIN)/pytest -q -s -m "not soak" tests/faults/test_laboratory.py \
		tests/faults/test_replica_laboratory.py

soak: $(DEVELOP) fit-etcd databases  ## run the long tests
	$(BIN)/pytest -m soak --durations=10

# Results can be compared: python benchmarks/results.py BEFORE AFTER.
bench: $(DEVELOP) fit-etcd  ## measure speed, as ratios to a floor measured in the same run
	$(BIN)/python benchmarks/application.py --json build/bench/application.json
	SANDBOX_DATA_PLANES=off $(BIN)/python benchmarks/run.py --json build/bench/server.json
	$(BIN)/python benchmarks/writes.py --json build/bench/writes.json
	$(BIN)/python benchmarks/recovery.py

docs: $(DEVELOP)  ## write the pages that are made from the code
	PYTHONPATH=tests/support $(BIN)/python tests/support/lifecycle_table.py
	PYTHONPATH=tests/support $(BIN)/python tests/support/osb_table.py

lint: $(DEVELOP)  ## check style, and that no floor of the house knows one above it
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: $(DEVELOP)  ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(DEVELOP)  ## check types
	$(BIN)/mypy -p alibroker.brokers -p alibroker.etcd -p alibroker.actors -p alibroker.http \
		-p alibroker.cli -p alibroker.conformance -p alibroker.sandbox
	MYPYPATH=install $(BIN)/mypy install/*.py

lock: $(DEVELOP)  ## write down the versions that are installed, for constraints.txt
	$(BIN)/pip freeze --exclude-editable | grep -v '^setuptools==' > constraints.txt

# FRESH=--test runs the tests there as well.
fresh:  ## try the README on bare systems of Debian 12 and 13; needs root
	@$(PYTHON) install/fresh.py $(FRESH)

clean:  ## remove what setup made
	rm -rf $(VENV) .types *.egg-info build .pytest_cache .mypy_cache .ruff_cache
