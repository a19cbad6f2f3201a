# What can be done here: `make` alone says so. Everything runs from .venv, which is built from requirements.lock.

SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export UV_COMPILE_BYTECODE := 1

.DEFAULT_GOAL := explain
.PHONY: explain demo test check dev

explain:
	@echo "make TARGET, where TARGET is"
	@sed -n 's/^\([a-z]*\):.*## /  \1 /p' Makefile | awk '{ name = $$1; $$1 = ""; printf "  %-6s %s\n", name, substr($$0, 2) }'

demo: .venv/built ## run the sample invoices through the invoice workflow, with a ledger of its own; again and again as you like
	@$(BIN)/python -m samples.demo

test: .venv/built ## run all tests, two at a time, and say what they do not cover
	@$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term-missing:skip-covered $(TESTS)

check: .venv/built ## look at the code without running it: style, types, layers, docstrings, dependencies, sizes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/deptry .
	@$(BIN)/python -m pytest -q -p no:xdist -p no:cov tests/house

dev: .venv/built ## open the workflows in LangGraph Studio, where its server is installed
	@test -x $(BIN)/langgraph || { \
	    echo "LangGraph's development server is not installed: its licence (Elastic 2.0) is not ours, so it is your choice."; \
	    echo "Next: $(BIN)/pip install 'langgraph-cli[inmem]', then make dev"; exit 1; }
	@PYTHONPATH=. $(BIN)/langgraph dev

# uv where there is one, since it is ten times as fast; pip wherever uv is missing or does not know the package index that pip knows.
.venv/built: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { rm -rf .venv; echo "$(PYTHON) cannot make a venv: on Debian, install python3-venv"; exit 1; }
	@{ command -v uv >/dev/null && uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock; } \
	    || $(BIN)/pip install -q --require-hashes -r requirements.lock
	@$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@
