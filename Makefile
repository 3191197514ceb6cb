# Every command of the project in one place; `make` alone lists them.
# Builds go to a cache folder in the home directory, so that a fresh clone on the same machine is quick.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mainstay
TOOLS := $(CACHE)/tools
export CARGO_TARGET_DIR ?= $(CACHE)/target
# One for all commands: what is built from C is built again when it changes.
export PATH := $(TOOLS)/bin:$(TOOLS)/python/bin:$(PATH)

# Cargo, claiming the shared target directory for this checkout first.
CARGO := scripts/with-target cargo
INSTALL := cargo install --locked --root $(TOOLS)
NEXTEST_VERSION := 0.9.143
DENY_VERSION := 0.20.2
MACHETE_VERSION := 0.9.2
FUZZ_VERSION := 0.13.2

##@ Using it
run: runtimes ## Start the shop of examples/shop behind Mainstay, and say what to open; Ctrl-C stops it
	$(CARGO) build --locked --package mainstay --package shop
	@exec scripts/shop "$(CARGO_TARGET_DIR)/debug"

demo: runtimes ## A minute of customers while services fail and Mainstay is killed twice; then an audit and a report. SEED (1)
	$(CARGO) build --locked --release --package mainstay --package shop
	$(CARGO_TARGET_DIR)/release/shop demo --seed $(or $(SEED),1) --out demo-out

docs: ## Regenerate the generated references and build the Rust documentation
	scripts/references
	$(CARGO) doc --workspace --no-deps --document-private-items

picture: graphviz ## Draw docs/architecture.svg from its text
	scripts/picture

##@ Checking it
test: nextest curl runtimes ## Unit, property and integration tests, and the house rules
	$(CARGO) nextest run --locked --workspace

conformance: nextest python-packages postgresql strace curl browser runtimes ## Foreign clients and suites against the running binary; real engines; the shop
	$(CARGO) build --locked --package mainstay --package shop
	$(CARGO) nextest run --locked --workspace --profile conformance

readers: python-packages ## Other proxies (nginx, HAProxy, Envoy, Traefik, Caddy) read what the gateway sends a service; all must read it alike
	$(CARGO) build --locked --package mainstay
	$(CARGO) run --quiet --package xtask -- readers

soak: nextest ## The same tests with many more generated cases, and the long ones
	PROPTEST_CASES=$(or $(PROPTEST_CASES),20000) $(CARGO) nextest run --locked --workspace --profile soak --run-ignored all

orders: ## What is done between threads, in the orders of its steps (loom); optimised, as there are hundreds of thousands
	RUSTFLAGS="--cfg mainstay_loom" CARGO_PROFILE_TEST_OPT_LEVEL=2 CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)-loom \
	  $(CARGO) test --locked --package mainstay-resilience --lib orders

fuzz: cargo-fuzz ## Search for bytes that break a decoder; FUZZ_SECONDS for each target (60)
	cd fuzz && for target in targets/*.rs; do \
	  CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)-fuzz RUSTC_BOOTSTRAP=1 \
	    cargo fuzz run $$(basename $$target .rs) -- -max_total_time=$(or $(FUZZ_SECONDS),60) -timeout=10; \
	done

lint: fmt clippy rustdoc deny unused ## Everything below but tests

fmt: ## Formatting
	cargo fmt --all --check

clippy: ## Clippy, warnings are errors
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

rustdoc: ## Documentation builds without a warning; broken links are errors
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet

deny: cargo-deny ## Licences, bans and sources of dependencies; advisories if reachable
	scripts/deny

unused: cargo-machete ## Dependencies that are declared and not used
	cargo machete crates examples

##@ Measuring it
bench: ## Duels with proxies, databases and other logs, and experiments of the lab, on a release build; wants a quiet machine
	$(CARGO) build --release --package mainstay
	$(CARGO) run --quiet --release --package xtask -- duel health
	$(CARGO) run --quiet --release --package xtask -- duel kv-write
	$(CARGO) run --quiet --release --package xtask -- duel kv-read
	$(CARGO) run --quiet --release --package xtask -- duel log
	$(CARGO) run --quiet --release --package xtask -- duel policies
	for duel in proxy-h1 proxy-h2 proxy-tls proxy-policies idle-connections; do \
	  $(CARGO) run --quiet --release --package xtask -- duel $$duel; done
	-for experiment in start indexes index-build write-amplification mixes; do \
	  $(CARGO_TARGET_DIR)/release/mainstay lab run $$experiment --out docs/benchmarks; done
	$(CARGO) run --quiet --release --package xtask -- answers

instructions: valgrind ## Instructions of policies and the gateway, counted by callgrind; fails when one takes more than is kept
	$(CARGO) run --quiet --release --package xtask -- instructions

help:
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

# Tools: one already on the PATH serves, of any version (cargo-nextest: that .config/nextest.toml accepts); otherwise the
# one named above is built into the cache.
nextest:
	@cargo nextest show-config version >/dev/null 2>&1 || $(INSTALL) cargo-nextest --version $(NEXTEST_VERSION)
cargo-deny:
	@command -v cargo-deny >/dev/null || $(INSTALL) cargo-deny --version $(DENY_VERSION)
cargo-fuzz:
	@command -v cargo-fuzz >/dev/null || $(INSTALL) cargo-fuzz --version $(FUZZ_VERSION)
cargo-machete:
	@command -v cargo-machete >/dev/null || $(INSTALL) cargo-machete --version $(MACHETE_VERSION)

postgresql:
	@scripts/postgresql >/dev/null
strace:
	@scripts/debian-program strace
curl:
	@scripts/debian-program curl
valgrind:
	@scripts/debian-program valgrind
graphviz:
	@scripts/debian-program dot graphviz
browser:
	@scripts/debian-program chromium >/dev/null
	@scripts/debian-program chromedriver chromium-driver >/dev/null

# What the shop's services in other languages run on. It does without those that cannot be had.
runtimes:
	@scripts/debian-program python3 >/dev/null || echo "the shop has no fraud score, and takes no orders above 150" >&2
	@scripts/debian-program node nodejs >/dev/null && scripts/debian-program npm >/dev/null || true
	@scripts/receipts "$(TOOLS)"

REQUIREMENTS := crates/xtask/tests/conformance/requirements.txt
python-packages:
	@cmp -s $(REQUIREMENTS) $(TOOLS)/python/requirements.txt || { \
	  python3 -m venv --clear $(TOOLS)/python && \
	  $(TOOLS)/python/bin/pip install --quiet --disable-pip-version-check --requirement $(REQUIREMENTS) && \
	  cp $(REQUIREMENTS) $(TOOLS)/python/requirements.txt; }

.PHONY: run demo docs picture test conformance readers soak orders fuzz lint fmt clippy rustdoc deny unused bench instructions help nextest cargo-deny cargo-fuzz \
  cargo-machete python-packages postgresql strace curl valgrind graphviz browser runtimes
