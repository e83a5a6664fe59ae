# Farplane's front door.  Every target sets up what it needs by itself (scripts/setup.sh).
#
#   make demo                 render one example scene into out/demo and print the table
#   make demo SCENES=all      all three example scenes
#   make test                 the whole check: style, types, import contracts, tests
#   make zip                  the Blender extension, one zip per Python, in dist/

SHELL := /bin/bash
PY := .venv/bin/python
STAMP := .venv/.farplane-setup
SCENES ?= valley_dolly
PYTEST_ARGS ?=

.PHONY: help setup demo test test-slow test-gui lint zip bench doctor

help:
	@sed -n 's/^#   //p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml scripts/setup.sh
	@scripts/setup.sh

demo: $(STAMP)
	@scripts/demo.sh $(SCENES)

lint: $(STAMP)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright
	.venv/bin/lint-imports

test: lint
	$(PY) -m pytest -m "not slow and not gui and not gpu" $(PYTEST_ARGS)

test-slow: $(STAMP)
	$(PY) -m pytest -m "slow and not gui and not gpu" $(PYTEST_ARGS)

test-gui: $(STAMP)
	$(PY) -m pytest -m gui $(PYTEST_ARGS)

zip: $(STAMP)
	$(PY) scripts/build_zip.py

bench: $(STAMP)
	.venv/bin/farplane bench

doctor: $(STAMP)
	.venv/bin/farplane doctor
