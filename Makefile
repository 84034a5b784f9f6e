# Sampan: what can be done here. `make help` lists it. Needs root for most tests, Python 3.11+ with venv, and make.
SHELL := /bin/bash
VENV ?= .venv
usable := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.11 /usr/bin/python3.11 python3 python3.12 python3.13; do \
            $$p -c '$(usable)' 2>/dev/null && echo $$p && break; done)
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-vm lint bench crash record-peer clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer with venv: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP)  ## run real containers on this machine and say what happens
	@PATH="$(abspath $(BIN)):$$PATH" scripts/demo

test: $(STAMP)  ## all tests that this machine can run (ARGS='-k logs' narrows them)
	@tests/support/packages
	@$(BIN)/python -m pytest $(ARGS)

test-all: $(STAMP)  ## the tests on every newer Python of this machine too
	@tests/support/packages
	@$(BIN)/python -m pytest $(ARGS)
	@scripts/newer-pythons | while read -r version python; do \
	    echo "== Python $$version"; \
	    $(MAKE) --no-print-directory test VENV=.venv-$$version PYTHON=$$python ARGS='$(ARGS)' || exit 1; \
	done

test-vm: $(STAMP)  ## runtime, cgroup, device and snapshot tests on a stock kernel with cgroup v2 (Debian 12 in qemu)
	@tests/support/packages vm
	@PYTHON=$(abspath $(BIN))/python tests/vm/run

lint: $(STAMP)  ## style, types, who imports whom, and no file over 600 lines
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@find src tests bench scripts -name '*.py' -exec awk 'END {if (NR > 600) {print FILENAME ": " NR " lines; 600 at most"; exit 1}}' {} \; \
	    | { ! grep .; }

bench: $(STAMP)  ## the same work on Sampan and on a current Docker, medians and ratios (ARGS=--quick for few runs)
	@tests/support/packages bench
	@tests/support/packages
	@PYTHONPATH=tests $(BIN)/python bench/run.py $(ARGS)
	@PYTHONPATH=tests $(BIN)/python bench/networks.py $(ARGS)
	@PYTHONPATH=tests $(BIN)/python bench/images.py $(ARGS)

crash: $(STAMP)  ## kill the daemon, zygote and monitors a few hundred times at random moments
	@tests/support/packages
	@SAMPAN_CRASHES=$${SAMPAN_CRASHES:-300} $(BIN)/python -m pytest --timeout=3600 tests/integration/test_campaign.py \
		tests/integration/test_campaign_networks.py -s $(ARGS)

record-peer: $(STAMP)  ## ask the Docker daemon named by SAMPAN_PEER again what tests/peer/ holds
	@test -n "$$SAMPAN_PEER" || { echo "make: SAMPAN_PEER is not set (unix:///path/to/docker.sock)" >&2; exit 2; }
	@PYTHONPATH=tests $(BIN)/python -m support.record
	@$(BIN)/python tests/peer/record.py

clean:  ## remove the virtual environments and caches of this tree
	@rm -rf .venv .venv-* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build
