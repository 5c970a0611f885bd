# Two commands do everything: `make run` starts a development org, `make test` passes the tests.

PYTHON ?= python3.11
BIN := .venv/bin
NODE := .tools/node/bin/node

.DEFAULT_GOAL := help
.PHONY: help setup run test check format lock bench

help: ## what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

run: .venv/setup.stamp ## set up and start the development org
	@exec $(BIN)/gatelodge dev

setup: .venv/setup.stamp ## the setting-up alone: a virtual environment in .venv

.venv/setup.stamp: requirements.lock pyproject.toml
	@tools/venv $(PYTHON)
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install -qq --disable-pip-version-check --no-build-isolation --no-deps -e .
	@$(BIN)/python -m compileall -q src # also where Python may not write what it compiled: a start takes half the time
	@touch $@

.venv/dev.stamp: .venv/setup.stamp requirements-dev.lock
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

.tools/node.stamp: package.json package-lock.json tools/node
	@tools/node
	@touch $@

.PHONY: services
services: .venv/setup.stamp # looks each time: a package may have been removed since
	@tools/services

test: services lint ## set up and pass all tests
	@$(BIN)/python -m pytest -q --require-all --numprocesses 2 --dist loadfile

check: .venv/dev.stamp .tools/node.stamp ## format, lint, types, import contracts, fast tests
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint fast

.PHONY: fast
fast: .venv/dev.stamp .tools/node.stamp
	@$(BIN)/python -m pytest -q -m "not slow" --numprocesses 2 --dist loadfile

.PHONY: lint
lint: .venv/dev.stamp .tools/node.stamp
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-cache > .tools/imports.txt || (cat .tools/imports.txt; exit 1)
	@$(NODE) node_modules/pyright/index.js --pythonpath $(BIN)/python > .tools/types.txt || (cat .tools/types.txt; exit 1)

format: .venv/dev.stamp ## put the code into shape
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --fix --quiet .

bench: .venv/dev.stamp .tools/node.stamp services ## what the figures in the docs are made by
	@npm --prefix bench/peer ci --ignore-scripts --no-audit --no-fund --silent
	@$(BIN)/python bench/cold_start.py && $(BIN)/python bench/flows.py && $(BIN)/python bench/revocation.py
	@test -x .tools/fastmcp/bin/fastmcp || ($(BIN)/python -m venv .tools/fastmcp && .tools/fastmcp/bin/pip install --quiet fastmcp==4.1.2)
	@$(BIN)/python bench/gateway.py --fastmcp "$(CURDIR)/.tools/fastmcp/bin/python" && $(BIN)/python bench/records.py && $(BIN)/python bench/setup_pages.py

lock: .venv/dev.stamp ## resolve the pins anew (needs uv); the locks name no registry
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group pyproject.toml:build pyproject.toml -o requirements.lock
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -c requirements.lock --group pyproject.toml:dev -o requirements-dev.lock
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --no-deps --group pyproject.toml:postgres -o requirements-postgres.lock
	@npm install --package-lock-only --ignore-scripts --silent
