# Two commands do everything: `make demo` and `make test`. Both need only Python (3.11 or newer) and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types imports docs pytest package sbom bench campaign fuzz clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[demo]"
	@touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[demo,onnx,coreml]" --group test
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	$(BIN)/openane demo

test: lint types imports docs pytest

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

imports: $(VENV)/.test
	$(BIN)/lint-imports

docs: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

pytest: $(VENV)/.test
	$(BIN)/pytest -n 2

# Random networks through every level; goes on where the last one stopped. make campaign TIME=3600
TIME ?= 600
campaign: $(VENV)/.test
	$(BIN)/python tools/campaign.py --seconds $(TIME) --journal campaign.jsonl

# Damaged input for every reader. make fuzz TIME=3600
fuzz: $(VENV)/.test
	$(BIN)/python tools/fuzz_readers.py --seconds $(TIME) --runs 100000000

# sdist and wheel, built and used in a clean environment; make package PYTHONS="python3.12 python3.13" for several
PYTHONS ?= $(BIN)/python
package: $(VENV)/.test
	$(BIN)/python tools/package.py --python $(PYTHONS)

# What an installation brings with it, as CycloneDX JSON; the same bytes for the same versions
sbom: $(VENV)/.test
	$(PYTHON) -m venv --clear build/sbom
	build/sbom/bin/python -m pip install --quiet ".[onnx,demo]"
	mkdir -p dist
	$(BIN)/cyclonedx-py environment --output-reproducible --short-PURLs --mc-type library --pyproject pyproject.toml \
		--output-file dist/openane.cdx.json build/sbom/bin/python

bench: $(VENV)/.test
	$(BIN)/python bench/run.py

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache
