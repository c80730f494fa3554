# Every command of the project; `make help` lists them.

# A stripped environment may have no HOME, and a PATH without sbin or cargo.
export HOME := $(or $(HOME),$(shell getent passwd $$(id -u) | cut -d: -f6))
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH):/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# The lab lays networks and mounts, so it runs as root; what builds it need not. sudo resets PATH.
SUDO := ["sudo", "--preserve-env", "env", "PATH=$(PATH)"]
AS_ROOT := $(if $(filter-out 0,$(shell id -u)),--config 'target."cfg(unix)".runner = $(SUDO)')
DEMO := cargo run --release --locked $(AS_ROOT) --example demo --
SCRIPTS = scripts/setup .ci/run $(wildcard tests/common/lab/*.sh)
APP := --manifest-path tests/app/Cargo.toml
DENY := cargo deny --locked --config deny.toml

.DEFAULT_GOAL := help
.PHONY: help demo demo-down test bench lint build setup

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# One call builds program and demo: two would not agree on the features of what both need, and build that twice.
demo: setup ## Three hosts on this machine under live traffic; KEEP=1 leaves them standing
	cargo build --release --locked --bin portreeve --example demo
	$(DEMO) $(if $(filter-out 0 no,$(KEEP)),--keep)

demo-down: ## Take a demo down that KEEP=1 left standing
	$(DEMO) down

test: setup ## All tests, on real Docker, Consul and nginx
	cargo test --locked $(AS_ROOT)

bench: setup ## Figures of docs/benchmarks.md; STORM=10 makes the storm shorter than 60 s
	cargo bench --locked --bench pure
	cargo bench --locked --bench register -- --storm $(or $(STORM),60)

lint: setup ## Formatting, clippy, shellcheck, and cargo-deny where it is installed
	cargo fmt --check
	cargo fmt --check $(APP)
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked $(APP) -- -D warnings
	shellcheck --external-sources $(SCRIPTS)
	@command -v cargo-deny >/dev/null || echo "cargo-deny is not installed: bans, licences and sources go unchecked"
	@! command -v cargo-deny >/dev/null || $(DENY) check bans licenses sources
	@! command -v cargo-deny >/dev/null || $(DENY) $(APP) check --allow license-not-encountered bans licenses sources

build: setup ## Build the release binary and print its path
	cargo build --release --locked
	@cargo metadata --no-deps --format-version 1 | \
		sed 's|.*"target_directory":"\([^"]*\)".*|\1/release/portreeve|'

setup: ## Install what the others need; each of them does this by itself
	@scripts/setup
