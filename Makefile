# Farplane's front door.  Every target sets up what it needs by itself (scripts/setup.sh).
#
#   make demo                 render one example scene into out/demo and print the table
#   make demo SCENES=all      all three example scenes
#   make test                 the whole check: style, types, import contracts, tests
#   make test-slow            tests that take over a minute each
#   make test-chaos           the backend ill-treated, some minutes; writes the figures of docs/reliability.md
#   make test-gui             tests in the real windows of Blender 4.3 and 5.2, on a virtual screen
#   make zip                  the Blender extension, one zip per Python, in dist/
#   make bench                seconds per stage of a render on this machine
#   make lint                 style, types, import contracts alone
#   make doctor               what works on this machine, and what to do about what does not

SHELL := /bin/bash
PY := .venv/bin/python
STAMP := .venv/.farplane-setup
SCENES ?= valley_dolly
PYTEST_ARGS ?=

.PHONY: help setup demo test test-slow test-chaos test-gui lint zip bench doctor

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
	.venv/bin/lint-imports --no-cache

test: lint
	$(PY) -m pytest -m "not slow and not gui and not gpu" $(PYTEST_ARGS)

test-slow: $(STAMP)
	$(PY) -m pytest -m "slow and not gui and not gpu" $(PYTEST_ARGS)

test-chaos: $(STAMP)
	FARPLANE_CHAOS=1 $(PY) -m pytest tests/backend/service/test_reliability.py $(PYTEST_ARGS)
	$(PY) -m pytest -m slow tests/backend/service/test_chaos.py $(PYTEST_ARGS)

test-gui: $(STAMP)
	$(PY) -m pytest -m gui $(PYTEST_ARGS)

zip: $(STAMP)
	$(PY) scripts/build_zip.py

bench: $(STAMP)
	.venv/bin/farplane shot examples/$(SCENES).blend --out out/bench/$(SCENES) --overwrite
	.venv/bin/farplane bench out/bench/$(SCENES) --json out/bench/$(SCENES).json

doctor: $(STAMP)
	.venv/bin/farplane doctor
