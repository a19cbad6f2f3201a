# What can be done here: `make` alone says so. Everything runs from .venv, which is built from requirements.lock.

SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export UV_COMPILE_BYTECODE := 1

.DEFAULT_GOAL := explain
.PHONY: explain demo test check studio dev

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

studio: .venv/built ## install LangGraph's development server, for make dev; its licence, Elastic 2.0, is not ours, so that is your choice
	@echo "langgraph-api and langgraph-runtime-inmem come under the Elastic License 2.0; nothing else here needs them."
	@{ command -v uv >/dev/null && uv pip install -q --python $(BIN)/python --require-hashes -r requirements-studio.lock; } \
	    || $(BIN)/pip install -q --require-hashes -r requirements-studio.lock

dev: .venv/built ## serve the workflows to LangGraph Studio on 127.0.0.1, with the project's own runs; see docs/studio.md
	@test -x $(BIN)/langgraph || { \
	    echo "LangGraph's development server is not installed: its licence (Elastic 2.0) is not ours, so it is your choice."; \
	    echo "Next: make studio, then make dev"; exit 1; }
	@PYTHONPATH=. LANGSMITH_TRACING=$${LANGSMITH_TRACING:-false} LANGGRAPH_CLI_NO_ANALYTICS=1 $(BIN)/langgraph dev --host 127.0.0.1 --no-browser

# uv where there is one, since it is ten times as fast; pip wherever uv is missing or does not know the package index that pip knows.
.venv/built: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { rm -rf .venv; echo "$(PYTHON) cannot make a venv: on Debian, install python3-venv"; exit 1; }
	@{ command -v uv >/dev/null && uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock; } \
	    || $(BIN)/pip install -q --require-hashes -r requirements.lock
	@$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@
