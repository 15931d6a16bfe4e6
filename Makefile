# Two commands do everything: `make demo` and `make test`. Both need only Python (3.11 or newer) and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo check quick test lint types imports docs pytest package wheels matrix sbom bench campaign share fuzz clean

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

# Before every commit: under a minute once the environment is there
check: lint types imports quick

test: lint types imports docs pytest package sbom matrix share

QUICK := tests/graph tests/net tests/program tests/numerics tests/formats tests/compiler/passes tests/architecture
quick: $(VENV)/.kernels
	$(BIN)/pytest -q -n 2 $(QUICK)

# The kernels of the simulator after a change of their sources; installing has built them the first time
$(VENV)/.kernels: $(VENV)/.test hatch_build.py $(wildcard src/openane/sim/kernels/*.[ch])
	$(BIN)/python hatch_build.py
	@touch $@

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vulture

types: $(VENV)/.test
	$(BIN)/mypy

imports: $(VENV)/.test
	$(BIN)/lint-imports

docs: $(VENV)/.kernels
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

pytest: $(VENV)/.kernels
	$(BIN)/pytest -n 2

# New random networks through every level; goes on where the last one stopped. make campaign TIME=3600
TIME ?= 600
campaign: $(VENV)/.kernels
	$(BIN)/python tools/campaign.py --seconds $(TIME) --journal campaign.jsonl

# The cases of the campaign that every change is judged by, the same ones each time, on all cores for at most so many
# seconds; a failure stops the build. make test CAMPAIGN=60
CAMPAIGN ?= 300
share: $(VENV)/.kernels
	$(BIN)/python tools/campaign.py --share --seconds $(CAMPAIGN)

# Damaged input for every reader; adds to the counts of earlier runs in fuzz/. make fuzz TIME=3600
fuzz: $(VENV)/.kernels
	$(BIN)/python tools/fuzz_readers.py --seconds $(TIME) --folder fuzz

# sdist and wheel in dist/, used in a clean environment as a user would, types included
package: $(VENV)/.test
	$(BIN)/python tools/package.py

# A wheel for every platform in dist/, the kernels cross-compiled
wheels: $(VENV)/.test
	$(BIN)/python tools/wheels.py

# The wheel on every newer Python of this machine: installed, tested, typed
matrix: package
	$(BIN)/python tools/matrix.py

# What an installation brings with it, as CycloneDX JSON; the same bytes for the same versions
sbom: package
	$(BIN)/python tools/sbom.py

bench: $(VENV)/.kernels
	$(BIN)/python bench/run.py

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache
