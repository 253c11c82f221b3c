# `make demo` and `make test` are all a newcomer needs; the other targets are for people who change the code.
PYTHON ?= python3
BIN := .venv/bin
SYNC := $(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes
LOCK := $(BIN)/uv pip compile --quiet --system-certs --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock"
PEERS := $(addprefix benchmarks/.venv-,peers cocoindex pgai)
FAB := tests/.venv-fab
AUDIT := .venv-audit
AUDIT_INSTALL = $(BIN)/uv pip install --quiet --python $(AUDIT)/bin/python

# Some tests start dozens of processes. Without bytecode on disk each of them would compile the bundle for itself.
unexport PYTHONDONTWRITEBYTECODE
# Started by root, the embedded PostgreSQL makes itself a user with useradd, which a plain `su` does not find.
export PATH := $(PATH):/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: help install demo ui test test-fab bench soak lint audit format lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

install: .venv/.installed ## Make .venv from requirements.lock

.venv/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; name it with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$$(sed -n 's/^uv==//p' requirements-dev.txt)
	@echo "Installing the locked environment into .venv ..."
	@# The machine's certificates know a company's proxy; uv's own help where the machine has none.
	@$(SYNC) --system-certs requirements.lock || $(SYNC) requirements.lock
	@touch $@

demo: install ## Run the main job end to end on real Airflow, with embedded PostgreSQL and Qdrant
	@$(BIN)/python -m demo

ui: install ## Open the demo's data in the Airflow UI; Ctrl-C stops all of it
	@$(BIN)/python -m demo.ui

test: install ## Run every test and check
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@# By file: the tests of a file share what takes long to start, such as a whole Airflow. conftest.py orders the files.
	@# More workers than a small machine has cores: many tests wait for servers. mypy works beside them.
	@$(BIN)/mypy & types=$$!; \
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder; tests=$$?; \
	wait $$types || { echo "mypy has found errors; they stand above the tests."; exit 1; }; \
	exit $$tests

test-fab: install $(FAB)/.installed ## Test the REST API with the FAB auth manager
	@PATTERNS_TEST_FAB_PYTHON=$(CURDIR)/$(FAB)/bin/python $(BIN)/python -m pytest -n 0 tests/integration/web/test_fab.py

bench: install $(addsuffix /.installed,$(PEERS)) ## Measure sync, stream, search, scores and storage beside limits and peers; SIZE=large takes hours
	@PYTHONPATH=plugins $(BIN)/python -m benchmarks --size $(or $(SIZE),small)
	@PYTHONPATH=plugins $(BIN)/python -m benchmarks.stream --size $(or $(SIZE),small)
	@PYTHONPATH=plugins $(BIN)/python -m benchmarks.peers_table --size $(or $(SIZE),small)
	@PYTHONPATH=plugins $(BIN)/python -m benchmarks.triggers
	@PYTHONPATH=plugins $(BIN)/python -m benchmarks.verification --size $(or $(SIZE),small)
	@PYTHONPATH=plugins $(BIN)/python -m benchmarks.migrations --size $(or $(SIZE),small)
	@PYTHONPATH=plugins $(BIN)/python -m benchmarks.quality --size $(or $(SIZE),small)
	@PYTHONPATH=plugins $(BIN)/python -m benchmarks.learning --size $(or $(SIZE),small)
	@PYTHONPATH=plugins $(BIN)/python -m benchmarks.search --size $(or $(SIZE),small)
	@PYTHONPATH=plugins $(BIN)/python -m benchmarks.targets
	@PYTHONPATH=plugins $(BIN)/python -m benchmarks.sizes --size $(or $(SIZE),small)
	@PYTHONPATH=plugins $(BIN)/python -m benchmarks.restores --size $(or $(SIZE),small)

soak: install ## Run everything under faults for MINUTES=60, chosen by SEED=1; PATTERNS_QDRANT_BINARY names Qdrant's program
	@$(BIN)/python -m soak --minutes $(or $(MINUTES),60) --seed $(or $(SEED),1)

benchmarks/.venv-peers/.installed: benchmarks/requirements.lock
benchmarks/.venv-cocoindex/.installed: benchmarks/peers/cocoindex.lock
benchmarks/.venv-pgai/.installed: benchmarks/peers/pgai.lock
$(FAB)/.installed: tests/fab.lock

# Most peers share an environment; the requirements of two, and of FAB, contradict those of the others.
$(addsuffix /.installed,$(PEERS) $(FAB)): | install
	@test -x $(@D)/bin/python || $(BIN)/python -m venv --without-pip $(@D)
	@echo "Installing a locked environment into $(@D) ..."
	@$(subst $(BIN)/python,$(@D)/bin/python,$(SYNC)) --system-certs $< || $(subst $(BIN)/python,$(@D)/bin/python,$(SYNC)) $<
	@touch $@

lint: install ## Run only the static checks
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && PYTHONPATH=plugins:. $(BIN)/lint-imports --no-cache --no-logo

audit: install ## Look for known flaws in the locked packages, and write what they are to sbom.json (CycloneDX)
	@test -x $(AUDIT)/bin/python || $(BIN)/python -m venv $(AUDIT)
	@test -x $(AUDIT)/bin/pip-audit || $(AUDIT_INSTALL) --system-certs pip-audit==2.10.1 || $(AUDIT_INSTALL) pip-audit==2.10.1
	@for lock in requirements-worker.lock requirements.lock; do \
		echo "$$lock:"; $(AUDIT)/bin/pip-audit --requirement $$lock --strict --disable-pip --require-hashes --progress-spinner off || exit 1; \
	done
	@$(AUDIT)/bin/pip-audit --requirement requirements-worker.lock --strict --disable-pip --require-hashes --progress-spinner off --format cyclonedx-json --output sbom.json

format: install ## Format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lock: install ## Lock the environments again after a change of requirements
	@$(LOCK) requirements-dev.txt -o requirements.lock
	@$(LOCK) requirements.txt requirements-optional.txt --constraint requirements.lock -o requirements-worker.lock
	@$(LOCK) deploy/kubernetes/requirements.txt -o deploy/kubernetes/requirements.lock
	@$(LOCK) benchmarks/requirements.txt -o benchmarks/requirements.lock
	@$(LOCK) benchmarks/peers/cocoindex.txt -o benchmarks/peers/cocoindex.lock
	@$(LOCK) benchmarks/peers/pgai.txt -o benchmarks/peers/pgai.lock
	@$(LOCK) tests/fab.txt -o tests/fab.lock

clean: ## Remove everything the other targets made
	@rm -rf .venv $(PEERS) $(FAB) $(AUDIT) sbom.json .demo .soak .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
