# What one does with a clone of Isthmus. Needs make and Python 3.11 to 3.14, nothing else; `make` lists the targets.

BIN := .venv/bin
READY := .venv/ready
SUITABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	$$python -c '$(SUITABLE)' 2>/dev/null && echo $$python && break; done)
# uv, where there is one, does the same as pip in a fraction of the time.
UV := $(shell command -v uv 2>/dev/null)
# Pinned, and not in the lock: which build of it is right depends on the machine (CUDA or none).
TORCH := torch==2.13.0
TESTS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env demo test lint bench lock clean

help: ## list the targets
	@echo "Isthmus: make TARGET"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-8s %s\n", $$1, $$2}'

env: $(READY) ## create .venv with Isthmus and all that it and its tests need
	@echo "Environment: .venv is up to date; the command is $(BIN)/isthmus"

demo: $(READY) ## train, measure and draw a small model, in a minute, on data that comes along
	@$(BIN)/isthmus demo

test: $(READY) ## run the fast tests and the examples in docstrings; TESTS=tests/test_layout.py runs a part
	@echo "Tests: with data from $${ISTHMUS_DATA:-nowhere (ISTHMUS_DATA is not set, so tests on real data are skipped)}"
	@$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=8 --durations=5 $(TESTS)

lint: $(READY) ## check style (ruff) and types (pyrefly)
	@echo "Style: ruff check"
	@$(BIN)/ruff check .
	@echo "Format: ruff format --check"
	@$(BIN)/ruff format --check . || { echo "Run '$(BIN)/ruff format .' to mend it."; exit 1; }
	@echo "Types: pyrefly check"
	@$(BIN)/pyrefly check --summary=none

bench: $(READY) ## run the benchmarks
	@ls benchmarks/bench_*.py >/dev/null 2>&1 || { echo "No benchmarks/bench_*.py here yet."; exit 1; }
	@for script in benchmarks/bench_*.py; do echo "Benchmark: $$script"; $(BIN)/python "$$script" || exit 1; done

clean: ## remove .venv and what tools left behind
	@echo "Removing .venv, caches and build outputs (runs/ stays)"
	@rm -rf .venv dist build .pytest_cache .ruff_cache .hypothesis
	@find src tests benchmarks conftest.py -name __pycache__ -prune -exec rm -rf {} +

lock: ## resolve requirements.lock anew, keeping its versions where they still fit (needs uv)
	@test -n "$(UV)" || { echo "make lock needs uv: python3 -m pip install uv"; exit 1; }
	@echo "Locking: what pyproject.toml asks for, on every platform"
	@cp requirements.lock requirements.tmp 2>/dev/null || true
	@echo "$(TORCH)" | env -u UV_FIND_LINKS -u UV_INDEX -u UV_EXTRA_INDEX_URL $(UV) pip compile --quiet --universal \
		--python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--group dev --output-file requirements.tmp pyproject.toml - \
		|| { rm -f requirements.tmp; echo "make lock: nothing was changed; see the message above."; exit 1; }
	@{ echo "# Written by 'make lock'. Without $(TORCH) and its CUDA packages, which 'make env' installs after these."; \
		awk '/^[A-Za-z0-9]/ { keep = !/^(torch==|triton==|nvidia-|cuda-)/ } keep' requirements.tmp; } > requirements.lock
	@rm -f requirements.tmp
	@if grep -n '://' requirements.lock; then echo "requirements.lock must not name addresses"; exit 1; fi

# The environment is made anew only when one of these files changed.
$(READY): pyproject.toml requirements.lock
	@"$(PYTHON)" -c '$(SUITABLE)' 2>/dev/null || { \
		echo "make env: found no Python 3.11 to 3.14 with venv and pip; $(or $(PYTHON),python3) is: \
	$$($(or $(PYTHON),python3) --version 2>&1 || true)."; \
		echo "Install one (Debian, Ubuntu: apt install python3-venv) or name it: make env PYTHON=/path/to/python3.12"; \
		exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		echo "Environment: creating .venv with $$($(PYTHON) --version)"; $(PYTHON) -m venv .venv || $(call failed,.venv); }
	@$(if $(UV),$(install_with_uv),$(install_with_pip))
	@touch $@

failed = { echo "make env: $(1) could not be installed; see the message above, then run make env again."; exit 1; }

# torch comes after the lock, whose hashes cover everything that torch needs but its CUDA packages.
define install_with_pip
echo "Environment: installing the locked packages with pip (about 200 MB)"; \
$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock || $(call failed,the locked packages); \
echo "Environment: installing $(TORCH)"; \
$(BIN)/python -m pip install --quiet $(TORCH) || $(call failed,$(TORCH)); \
echo "Environment: installing Isthmus itself"; \
$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . || $(call failed,Isthmus)
endef

# uv does not read pip's settings: wheels of torch that a machine keeps at hand for pip are passed on.
define install_with_uv
echo "Environment: installing the locked packages with uv (about 200 MB)"; \
"$(UV)" pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements.lock || $(call failed,the locked packages); \
echo "Environment: installing $(TORCH)"; \
links="$${PIP_FIND_LINKS:-$$($(PYTHON) -m pip config get global.find-links 2>/dev/null)}"; \
UV_FIND_LINKS="$${UV_FIND_LINKS:-$$(echo $$links | tr ' ' ',')}" \
"$(UV)" pip install --quiet --python $(BIN)/python $(TORCH) || $(call failed,$(TORCH)); \
echo "Environment: installing Isthmus itself"; \
"$(UV)" pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . || $(call failed,Isthmus)
endef
