# The one list of verbs. `make` alone shows it.

SHELL := /bin/bash
.DEFAULT_GOAL := help

CARGO ?= cargo
export RUSTDOCFLAGS ?= -D warnings

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: ## Install what is missing, build, serve, create a first instance, say how to connect
	scripts/install-deps
	$(CARGO) build --release --locked --package ourkv
	scripts/up

.PHONY: down
down: ## Stop the server of `make up` and every engine it started; data stays
	scripts/down

# Engines that tests need are not for `make up` to find: those that serve are the user's choice.
.PHONY: test
test: export OURKV_ENGINES_DIR ?= $(abspath $(or $(CARGO_TARGET_DIR),target))/engines
test: ## Run all tests, on real engines, SDKs and databases; installs what they need
	scripts/install-deps --test
	scripts/engines
	scripts/sdks
	$(CARGO) test --workspace --all-features --locked

.PHONY: check
check: ## Format, lints, documentation, layers, licences and dependencies
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings
	$(CARGO) doc --workspace --no-deps --document-private-items --all-features --locked
	$(CARGO) xtask check-layers
	$(CARGO) xtask check-dependencies

# For how long each target is fuzzed.
SECONDS ?= 600
.PHONY: fuzz
fuzz: ## Fuzz what reads a stranger's bytes, each target for SECONDS=600; keeps what it learns
	scripts/install-deps --fuzz
	scripts/fuzz $(SECONDS)

.PHONY: bench
bench: ## Measure start-up, creation, throughput and memory, against their floors
	scripts/install-deps
	$(CARGO) bench --locked --package ourkv

# Chaos: what is measured is built for release; CI takes what the tests were built with.
PROFILE ?= bench
BUILD ?= --package ourkv
MINUTES ?= 5
SEED ?= 20150101
CHAOS = $(CARGO) bench --locked $(BUILD) --bench ourkv --profile $(PROFILE) -- chaos seed=$(SEED)

.PHONY: chaos
chaos: ## Kill, stop and exchange engines and control plane under load, for MINUTES=5; say what was lost
	scripts/install-deps
	$(CHAOS) seconds=$$(( $(MINUTES) * 60 ))

.PHONY: soak
soak: ## The same for HOURS=1
	scripts/install-deps
	$(CHAOS) seconds=$$(( $(or $(HOURS),1) * 3600 ))

.PHONY: engines
engines: ## Put real older redis-servers (2.8, 5.0, 6.0, 6.2) beside the distribution's
	scripts/install-deps --engines
	scripts/engines

.PHONY: docs
docs: ## Build the API documentation of the crates
	$(CARGO) doc --workspace --no-deps --document-private-items --locked

.PHONY: fmt
fmt: ## Format the code
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml
