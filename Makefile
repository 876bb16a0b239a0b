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
# What benchmarks compare against has an environment of its own.
PEERS := .venv-peers
SITE := docs/_build
TESTS ?=
BENCH ?=
NAMES ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where it is set, every process that a test starts compiles all of Isthmus again.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env demo test lint docs bench figures peers lock clean

help: ## list the targets
	@echo "Isthmus: make TARGET"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-10s %s\n", $$1, $$2}'

env: $(READY) ## create .venv with Isthmus and all that it and its tests need
	@echo "Environment: .venv is up to date; the command is $(BIN)/isthmus"

demo: $(READY) ## train, measure and draw a small model, in a minute, on data that comes along
	@$(BIN)/isthmus demo

# Each core has a process of its own; where two want both cores, they wait for each other.
test: export OMP_NUM_THREADS := 1
test: $(READY) ## run the fast tests and the examples in docstrings; TESTS=tests/test_layout.py runs a part
	@echo "Tests: with data from $${ISTHMUS_DATA:-nowhere (ISTHMUS_DATA is not set, so tests on real data are skipped)}"
	@$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=8 --dist=worksteal --durations=5 $(TESTS)

lint: $(READY) ## check style (ruff) and types (pyrefly)
	@echo "Style: ruff check"
	@$(BIN)/ruff check .
	@echo "Format: ruff format --check"
	@$(BIN)/ruff format --check . || { echo "Run '$(BIN)/ruff format .' to mend it."; exit 1; }
	@echo "Types: pyrefly check"
	@$(BIN)/pyrefly check --summary=none

docs: $(READY) ## build the site of docs, where a warning is an error, in half a minute
	@$(BIN)/sphinx-build -q -E -W --keep-going --jobs auto -c docs . $(SITE)
	@echo '<meta http-equiv="refresh" content="0; url=docs/index.html">' > $(SITE)/index.html
	@echo "Site: open $(SITE)/index.html in a browser"

bench: $(READY) ## run the benchmarks, about 35 minutes on two cores; BENCH=--missing goes on with what a stopped run left
	@$(MAKE) --no-print-directory peers || echo "Benchmarks: without peers, whose rows the results leave out"
	@for script in benchmarks/bench_*.py; do \
		echo "Benchmark: $$script"; $(BIN)/python "$$script" $(BENCH) || failed="$$failed $$script"; done; \
		$(BIN)/python benchmarks/summary.py || failed="$$failed summary.py"; \
		test -z "$$failed" || { echo "Failed:$$failed"; exit 1; }

figures: $(READY) ## draw the figures of the pages in docs anew, in some minutes (NAMES="vae rbm" draws a part)
	@$(BIN)/python docs/figures.py $(NAMES)

peers: $(PEERS)/ready ## create .venv-peers with the libraries that benchmarks compare against
	@echo "Environment: $(PEERS) is up to date"

clean: ## remove .venv, .venv-peers and what tools left behind
	@echo "Removing environments, caches and build outputs (runs/ stays)"
	@rm -rf .venv $(PEERS) $(SITE) docs/api dist build .pytest_cache .ruff_cache .hypothesis
	@find src tests benchmarks conftest.py -name __pycache__ -prune -exec rm -rf {} +

lock: ## resolve the lock files anew, keeping their versions where they still fit (needs uv)
	@test -n "$(UV)" || { echo "make lock needs uv: python3 -m pip install uv"; exit 1; }
	@$(call resolve,requirements.lock,--group dev pyproject.toml)
	@$(call resolve,benchmarks/peers.lock,--constraint requirements.lock --extra peers pyproject.toml)

# One lock file, on every platform: versions and hashes only.
define resolve
echo "Locking: $(1)"; \
cp $(1) requirements.tmp 2>/dev/null || true; \
echo "$(TORCH)" | env -u UV_FIND_LINKS -u UV_INDEX -u UV_EXTRA_INDEX_URL $(UV) pip compile --quiet --universal \
	--python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	--output-file requirements.tmp $(2) - \
	|| { rm -f requirements.tmp; echo "make lock: $(1) was not changed; see the message above."; exit 1; }; \
{ echo "# Written by 'make lock'. Without $(TORCH) and its CUDA packages, which are installed after these."; \
	awk '/^[A-Za-z0-9]/ { keep = !/^(torch==|triton==|nvidia-|cuda-)/ } keep' requirements.tmp; } > $(1); \
rm -f requirements.tmp; \
if grep -n '://' $(1); then echo "$(1) must not name addresses"; exit 1; fi
endef

# An environment is made anew only when one of these files changed.
$(READY): pyproject.toml requirements.lock
	@$(call environment,.venv,requirements.lock)
	@echo "Environment: installing Isthmus itself"
	@$(if $(UV),"$(UV)" pip install --python $(BIN)/python,$(BIN)/python -m pip install) --quiet \
		--no-deps --no-build-isolation --editable . || $(call failed,Isthmus)
	@touch $@

$(PEERS)/ready: benchmarks/peers.lock
	@$(call environment,$(PEERS),benchmarks/peers.lock)
	@touch $@

failed = { echo "make: $(1) could not be installed; see the message above, then run make again."; exit 1; }

# torch comes after the lock, whose hashes cover everything that torch needs but its CUDA packages.
define environment
"$(PYTHON)" -c '$(SUITABLE)' 2>/dev/null || { \
	echo "make: found no Python 3.11 to 3.14 with venv and pip; $(or $(PYTHON),python3) is: \
$$($(or $(PYTHON),python3) --version 2>&1 || true)."; \
	echo "Install one (Debian, Ubuntu: apt install python3-venv) or name it: make env PYTHON=/path/to/python3.12"; \
	exit 1; }; \
$(1)/bin/python -m pip --version >/dev/null 2>&1 || { \
	echo "Environment: creating $(1) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(1) || $(call failed,$(1)); }; \
$(if $(UV),$(call install_with_uv,$(1),$(2)),$(call install_with_pip,$(1),$(2)))
endef

define install_with_pip
echo "Environment: installing the packages of $(2) with pip (about 200 MB)"; \
$(1)/bin/python -m pip install --quiet --require-hashes --no-deps -r $(2) || $(call failed,$(2)); \
echo "Environment: installing $(TORCH)"; \
$(1)/bin/python -m pip install --quiet $(TORCH) || $(call failed,$(TORCH))
endef

# uv does not read pip's settings: wheels of torch that a machine keeps at hand for pip are passed on.
define install_with_uv
echo "Environment: installing the packages of $(2) with uv (about 200 MB)"; \
"$(UV)" pip install --quiet --python $(1)/bin/python --require-hashes --no-deps -r $(2) || $(call failed,$(2)); \
echo "Environment: installing $(TORCH)"; \
links="$${PIP_FIND_LINKS:-$$($(PYTHON) -m pip config get global.find-links 2>/dev/null)}"; \
UV_FIND_LINKS="$${UV_FIND_LINKS:-$$(echo $$links | tr ' ' ',')}" \
"$(UV)" pip install --quiet --python $(1)/bin/python $(TORCH) || $(call failed,$(TORCH))
endef
