# Everything a newcomer runs. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := expectations_custom gx pipeline scheduler
DAY ?=
FILE ?=
DAY_FLAG := $(if $(DAY),--date $(DAY))

# Every target that `make help` explains.
.PHONY: $(shell sed -nE 's/^([a-z-]+):.*[#][#] .*/\1/p' $(firstword $(MAKEFILE_LIST)))

# Two processes, each with a PostgreSQL of its own, in an order drawn anew. CI always draws the same:
# what lands is decided by the change, not by the dice.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal $(if $(CI),--randomly-seed=20260115)

# pip compiles what it installs; without bytecode Great Expectations takes 15 s to import instead of 4.
define install
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "daygate needs Python 3.11 to 3.13, this is " + sys.version.split()[0] + ". Try: make $(1) PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing $(2) (about a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --compile --require-hashes -r $(2)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q $(PACKAGES)
	@touch $@
endef

define resolve
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q $(2) -o requirements/$(1).txt
endef

$(VENV)/.base: requirements/base.txt pyproject.toml
	$(call install,setup,requirements/base.txt)

$(VENV)/.spark: requirements/spark.txt pyproject.toml | $(VENV)/.base
	$(call install,setup-spark,requirements/spark.txt)

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/.base
	$(call install,setup-all,requirements/dev.txt)

##@ To begin with

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {print "\n" substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.base ## Create .venv with what running needs
setup-spark: $(VENV)/.spark ## Add Spark and its Java to .venv
setup-all: $(VENV)/.dev ## Create .venv with everything, tests and linters included

##@ A day, and a file

run: $(VENV)/.base ## One day through the gate: yesterday, or DAY=YYYY-MM-DD
	@$(BIN)/daygate run $(DAY_FLAG)

validate: $(VENV)/.base ## Check a file by hand: FILE=events_20260115.jsonl
	@test -n '$(FILE)' || { echo 'Which file? Try: make validate FILE=path/to/events_20260115.jsonl'; exit 2; }
	@$(BIN)/daygate check '$(FILE)' $(DAY_FLAG)

generate: $(VENV)/.base ## Simulate a day's events: yesterday, or DAY=YYYY-MM-DD
	@$(BIN)/daygate generate $(DAY_FLAG)

generate-month: $(VENV)/.base ## Simulate the last 30 days
	@$(BIN)/daygate generate --start $$(TZ=Asia/Seoul date -d '-30 days' +%F) --end $$(TZ=Asia/Seoul date -d yesterday +%F)

status: $(VENV)/.base ## The last 30 days
	@$(BIN)/daygate status

dashboard: $(VENV)/.base ## The last 30 days at a glance
	@$(BIN)/daygate dashboard

site: $(VENV)/.base ## Make the whole site anew from the database
	@$(BIN)/daygate docs build

##@ Big days

spark-batch: $(VENV)/.spark ## Aggregates of a published day by Spark: yesterday, or DAY=YYYY-MM-DD
	@$(BIN)/daygate spark-batch $(DAY_FLAG)

spark-up: $(VENV)/.spark ## Start a Spark master and two workers on this machine
	@$(BIN)/python -m pipeline.spark.cluster up

spark-down: ## Stop them
	@test -x $(BIN)/python && $(BIN)/python -m pipeline.spark.cluster down || echo 'Nothing is installed, so nothing runs.'

##@ Every day

serve: $(VENV)/.base ## Run every day by itself, and show the site
	@exec $(BIN)/daygate serve

up: ## The whole house in containers: makes passwords, builds, starts, says where to look (needs Docker)
	@deploy/up

rotate-secrets: ## New passwords for the containers
	@deploy/rotate

down: ## Stop what runs, containers and the embedded PostgreSQL; data stays
	@deploy/down

##@ Changing it

test-fast: $(VENV)/.dev ## The tests that start no server and no process: the loop of daily work
	@$(PYTEST) -m "not slow and not long"

test: $(VENV)/.dev ## Run all tests
	@$(PYTEST)

conformance: $(VENV)/.dev ## Compare the engines on ten times as many generated cases, new ones each time
	@seed=$$RANDOM; echo "CONFORMANCE_SEED=$$seed"; CONFORMANCE_VISITS=30000 CONFORMANCE_SEED=$$seed $(BIN)/python -m pytest tests/test_conformance.py

test-cov: $(VENV)/.dev ## The same, with the lines that no test reaches
	@$(PYTEST) --cov --cov-report=term-missing:skip-covered

test-slow: $(VENV)/.dev ## Run the tests that take minutes or gigabytes
	@$(BIN)/python -m pytest -m slow

compose-test: ## Try the containers from a fresh copy to the last volume (minutes, needs Docker)
	@$(PYTHON) tests/compose

kill-trials: $(VENV)/.dev ## TRIALS=200 runs killed with -9 at any moment
	@$(BIN)/python tests/soak.py --kills --days $(or $(TRIALS),200)

soak: $(VENV)/.dev ## DAYS=30 simulated days through the service, a fault each
	@$(BIN)/python tests/soak.py --days $(or $(DAYS),30)

lint: $(VENV)/.dev ## Style, types and the import arrow
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Rewrite the sources in the project's style
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

docs: $(VENV)/.dev ## Write the generated parts of the documents anew
	@$(BIN)/python tests/docs_parts.py --write

pictures: $(VENV)/.dev ## Take the pictures of the documents anew (a minute, needs Chromium)
	@$(BIN)/python tests/pictures.py

docs-export: $(VENV)/.base ## Write gx/*.json anew after changing checks
	@$(BIN)/python -m gx.export

fault-matrix: $(VENV)/.dev ## Measure which check catches which fault, into the docs
	@$(BIN)/python -m tests.fault_matrix --write

fault-table: $(VENV)/.dev ## List the faults and their tests in docs/faults.md
	@$(BIN)/python tests/fault_table.py --write

# The contenders' pins do not go with ours, so they live in an environment of their own.
.venv-bench/.done: requirements/bench.txt
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@echo "Installing $< (about a minute) ..."
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --compile --require-hashes -r $<
	@touch $@

bench: $(VENV)/.base $(VENV)/.spark .venv-bench/.done ## Measure against everybody else, into benchmarks/RESULTS.md (an hour and a half)
	@$(BIN)/python -m benchmarks --bench-python .venv-bench/bin/python $(BENCH)

bench-engines: $(VENV)/.base $(VENV)/.spark ## Check 1, 2, 4 and 8 million events on pandas and on Spark (a quarter of an hour)
	@$(BIN)/python -m benchmarks.engines

bench-quick: $(VENV)/.base .venv-bench/.done ## The same on small files, into .bench/ (three minutes)
	@$(BIN)/python -m benchmarks --bench-python .venv-bench/bin/python --sizes 20000 100000 --rounds 1 --slow-rounds 1 \
		--day-rounds 1 --original-events 20000 --parts small checks simulator days publishing --results .bench/quick

##@ Handing it over

lock: ## Resolve requirements anew (needs uv)
	$(call resolve,base,--group build)
	$(call resolve,spark,--group build --extra spark -c requirements/base.txt)
	$(call resolve,dev,--group build --group dev --extra spark --extra connect -c requirements/spark.txt)
	uv pip compile --group pyproject.toml:bench --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q -o requirements/bench.txt

# pip-audit ends alike when it finds something and when nobody could be asked; only the first is an audit.
audit: ## Look for known weaknesses in what is locked (needs uv and the network)
	@said=$$(uv tool run --quiet pip-audit@2.10.1 --strict --disable-pip --require-hashes --progress-spinner off \
		-r requirements/dev.txt 2>&1); code=$$?; echo "$$said"; [[ $$code = 0 || $$said = *'known vulnerabilit'* ]] || \
		echo 'NOT AUDITED: the advisory service gave no answer (see above), so nothing is known to be free of weaknesses.'; \
		exit $$code

sbom: $(VENV)/.base ## List every part of an installation with its licence as CycloneDX, into dist/
	@mkdir -p dist
	@$(BIN)/python tests/sbom.py requirements/base.txt > dist/daygate.cdx.json
	@echo dist/daygate.cdx.json

dist: $(VENV)/.dev ## Build wheel and source archive into dist/
	@rm -rf dist
	@$(BIN)/python -m hatchling build

clean: ## Remove caches and the environment; data stays
	rm -rf $(VENV) .venv-bench .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache htmlcov .coverage*
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
