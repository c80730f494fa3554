# Every command of the project; `make help` lists them.

# A stripped environment may have no HOME, and a PATH without sbin or cargo.
export HOME := $(or $(HOME),$(shell getent passwd $$(id -u) | cut -d: -f6))
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH):/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# The lab creates networks and mounts, so it runs as root. Building it does not need root. sudo resets PATH.
SUDO := ["sudo", "--preserve-env", "env", "PATH=$(PATH)"]
AS_ROOT := $(if $(filter-out 0,$(shell id -u)),--config 'target."cfg(unix)".runner = $(SUDO)')
DEMO := --profile demo --locked
RUN_DEMO := cargo run $(DEMO) $(AS_ROOT) --bin demo --
SCRIPTS = scripts/setup .ci/run $(wildcard tests/lab/scripts/*.sh)
APP := --manifest-path tests/app/Cargo.toml
DENY := cargo deny --locked --config deny.toml

.DEFAULT_GOAL := help
.PHONY: help demo demo-down test bench lint build setup

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The number of crates that the program and the demo are built from, without those that only tests need.
CRATES = cargo tree --locked --edges normal,build --prefix none | awk '{ print $$1, $$2 }' | sort -u | wc -l

# Neither Cargo command names a package, so that Cargo resolves the same features for both and builds shared
# crates once.
demo: setup ## Three hosts on this machine under live traffic; KEEP=1 leaves them running
	@echo "demo: step 1 of 2: build portreeve and the demo from $$($(CRATES)) crates"
	@echo "demo: the first build takes about 4 minutes on 2 cores, later ones take seconds"
	cargo build $(DEMO) --bin portreeve --bin demo
	@echo "demo: step 2 of 2: start three hosts with Docker, Consul and nginx, then start and stop containers"
	@echo "demo: under 100 requests a second; this takes about a minute"
	$(RUN_DEMO) $(if $(filter-out 0 no,$(KEEP)),--keep)

demo-down: ## Remove a demo that KEEP=1 left running
	$(RUN_DEMO) down

test: setup ## All tests, on real Docker, Consul and nginx
	cargo test --locked $(AS_ROOT)

bench: setup ## Figures of docs/benchmarks.md; STORM=10 makes the storm shorter than 60 s
	cargo bench --locked --bench pure
	cargo bench --locked --bench register -- --storm $(or $(STORM),60)

lint: setup ## Formatting, clippy, shellcheck, and cargo-deny where it is installed
	cargo fmt --all --check
	cargo fmt --check $(APP)
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked $(APP) -- -D warnings
	shellcheck --external-sources $(SCRIPTS)
	@command -v cargo-deny >/dev/null || echo "cargo-deny is not installed: bans, licences and sources go unchecked"
	@! command -v cargo-deny >/dev/null || $(DENY) check bans licenses sources
	@! command -v cargo-deny >/dev/null || $(DENY) $(APP) check --allow license-not-encountered bans licenses sources

build: setup ## Build the release binary and print its path
	cargo build --release --locked --package portreeve
	@cargo metadata --no-deps --format-version 1 | \
		sed 's|.*"target_directory":"\([^"]*\)".*|\1/release/portreeve|'

setup: ## Install what the others need; each of them does this by itself
	@scripts/setup
