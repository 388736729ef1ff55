# portlease: what can be done here. `make help` lists it.
# Everything that is built or fetched goes under target/; nothing else on the machine is touched, but for Debian
# packages that tests/lab/install asks for where it may.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
TOOLS := target/tools
export PORTLEASE_BIN ?= $(abspath $(TARGET))/debug/portlease

# Versions of the tools that are built here.
CARGO_DENY := 0.20.2
CARGO_FUZZ := 0.13.2
CARGO_SEMVER := 0.51.0
FUZZ_SECONDS ?= 60

DIRECTORY_c := bindings/c
DIRECTORY_go := go
DIRECTORY_python := python
DIRECTORY_node := node
DIRECTORY_kotlin := bindings/uniffi
DIRECTORY_dropin := bindings/compat
DIRECTORIES := $(DIRECTORY_c) $(DIRECTORY_dropin) $(DIRECTORY_go) $(DIRECTORY_python) $(DIRECTORY_node) $(DIRECTORY_kotlin)

.DEFAULT_GOAL := help
.PHONY: help demo test test-rust test-c test-dropin test-go test-python test-node test-kotlin test-lab test-types lint lint-rust clippy deny generate fmt bench \
  fuzz semver install uninstall install-compat uninstall-compat build-compat go test-platforms test-compat dist version clean

help: ## Lists these targets
	@sed -n 's/^\([a-z-]*\)[a-z -]*:.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  make %-14s %s\n", $$1, $$2 }'

demo: ## Builds portlease and maps a port on the built-in simulated gateway
	$(CARGO) run --quiet --locked -p portlease-cli --bin portlease -- demo

test: test-rust test-c test-dropin test-go test-python test-node test-kotlin test-lab test-types ## Installs what the tests need and runs all of them

# The tests wait more than they compute, so more of them than there are processors run at once.
test-rust:
	tests/lab/install
	RUST_TEST_THREADS=8 $(CARGO) test --locked --workspace

# Each language has its own Makefile with the targets build, test and lint.
test-c test-dropin test-go test-python test-node test-kotlin: test-%:
	$(MAKE) --no-print-directory -C $(DIRECTORY_$*) test

# Packets through a real router, from every language; wants what the targets above have built.
test-lab:
	$(CARGO) build --locked --workspace --bins
	LANGUAGES_REQUIRED=1 tests/lab/run

# For other systems; says so and does nothing where their compilers are not there.
test-types:
	tests/platforms/check

install uninstall: ## Installs the C library, or removes it again: PREFIX=/usr/local DESTDIR=
	$(MAKE) --no-print-directory -C bindings/c $@

install-compat uninstall-compat: ## Installs the drop-in libminiupnpc and libnatpmp (build-compat first): PREFIX=/usr/local DESTDIR=
	$(MAKE) --no-print-directory -C bindings/compat $(@:%-compat=%)

build-compat: ## Builds the drop-in libminiupnpc and libnatpmp
	$(MAKE) --no-print-directory -C bindings/compat build

go: ## Builds and tests the Go package in this checkout, with nothing installed
	$(MAKE) --no-print-directory -C go test

lint: lint-rust ## Checks format, warnings, types, documentation, spelling and phrases, licences and sources
	@for directory in $(DIRECTORIES); do $(MAKE) --no-print-directory -C $$directory lint || exit 1; done

lint-rust: clippy
	$(CARGO) fmt --all --check
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet
	CARGO=$(CARGO) .ci/msrv
	$(MAKE) --no-print-directory deny
	.ci/workflows
	.ci/prose

# One command for all crates, here and in the languages' Makefiles: another selection of crates would be checked anew.
clippy:
	$(CARGO) clippy --locked --workspace --all-targets --features portlease-uniffi/cli -- -D warnings

# The advisory database lives outside the package registry; where it cannot be had, the other checks still count.
deny: $(TOOLS)/bin/cargo-deny
	$< check licenses bans sources
	@if $< fetch db >/dev/null 2>&1; then $< check advisories; \
	else echo "deny: advisories not checked: their database cannot be fetched here"; fi

generate: ## Writes all files that are made from core's types: run it after each change of those
	$(CARGO) run --quiet --locked -p portlease-generate
	UPDATE=1 $(CARGO) test --quiet --locked -p portlease-cli --lib the_manual_pages
	$(MAKE) --no-print-directory -C bindings/c header
	$(MAKE) --no-print-directory -C bindings/uniffi swift

semver: $(TOOLS)/bin/cargo-semver-checks ## Compares the public Rust API with that of the last tag (SEMVER_BASE=REVISION)
	@base=$${SEMVER_BASE:-$$(git describe --tags --abbrev=0 2>/dev/null)}; \
	if [ -z "$$base" ]; then echo "semver: there is no tag yet to compare with"; exit 0; fi; \
	PATH="$(abspath $(TOOLS))/bin:$$PATH" $(CARGO) semver-checks -p portlease -p portlease-gateway --baseline-rev "$$base"

# Large modules of others and 600 MB of Debian's programs, so no part of `make test`.
test-compat: ## Tests the adapters with the real libraries, and Debian's programs with the drop-in libraries, half an hour
	$(MAKE) --no-print-directory -C go test-compat
	$(MAKE) --no-print-directory -C core/adapters lint test-compat
	$(MAKE) --no-print-directory build-compat install-compat PREFIX=$(abspath $(TARGET))/compat/release
	PORTLEASE_COMPAT=$(abspath $(TARGET))/compat/release/lib/portlease-compat LANGUAGES_REQUIRED=1 tests/compat/run

test-platforms: ## Builds and tests for Windows, arm64, musl, macOS and Android under emulators, half an hour; needs root on Debian 12
	bindings/release/toolchain
	tests/platforms/emulators
	tests/platforms/run

dist: ## Makes the whole release in dist/ and tests it, an hour or more; needs root on Debian 12
	bindings/release/dist $(STEPS)

version: ## Sets the version of everything: make version V=0.2.0
	bindings/release/version $(V)

fmt: ## Formats the code
	$(CARGO) fmt --all

bench: ## Measures portlease beside its peers in the lab and prints a table
	tests/bench/bench.py

fuzz: $(TOOLS)/bin/cargo-fuzz ## Runs each fuzz target for FUZZ_SECONDS (60); FUZZ_TARGETS='pcp http' for some
	CARGO_FUZZ=$(abspath $<) FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run $(FUZZ_TARGETS)

clean: ## Removes all that was built
	$(CARGO) clean
	rm -rf target dist tests/fuzz/target tests/bench/target bindings/uniffi/kotlin/target
	cd node && rm -rf dist native .tools node_modules test/consumers/node_modules test/bundlers/node_modules

# It runs for a second, and without optimization it is built in half of the time.
$(TOOLS)/bin/cargo-deny:
	$(CARGO) install --quiet --debug --locked --root $(TOOLS) cargo-deny@$(CARGO_DENY)

$(TOOLS)/bin/cargo-fuzz:
	$(CARGO) install --quiet --locked --root $(TOOLS) cargo-fuzz@$(CARGO_FUZZ)

$(TOOLS)/bin/cargo-semver-checks:
	$(CARGO) install --quiet --locked --root $(TOOLS) cargo-semver-checks@$(CARGO_SEMVER)
