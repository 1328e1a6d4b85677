# Thin: each target is set-up, RocksDB's link environment, and one or two commands that CONTRIBUTING.md also names.
# To call cargo yourself with the same environment, so that nothing is built twice:  eval "$(make -s env)"

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.PHONY: help setup env build demo test fuzz release-check soak dist bench lint house fmt fmt-check deny vendor clean

# Built things live outside the checkout: RocksDB and the tools once a machine, the rest once a clone (scripts/seed.sh
# says why clones cannot share it, and gives a fresh one the dependencies of another).
CONDUCTOR_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/conductor
CARGO_TARGET_DIR ?= $(CONDUCTOR_CACHE)/target-$(shell printf '%s' '$(CURDIR)' | cksum | cut -d' ' -f1)
VENDOR_DIR ?= $(CONDUCTOR_CACHE)/vendor
export CONDUCTOR_CACHE
# Absolute: the tests and the demo run elsewhere than in the root of the checkout.
export CARGO_TARGET_DIR := $(abspath $(CARGO_TARGET_DIR))
export PATH := $(CONDUCTOR_CACHE)/tools/bin:$(PATH)
# It would move the programs to another folder than the one named below.
unexport CARGO_BUILD_TARGET

PROGRAMS := conductord conductor conductor-signer
# Where `make dist` puts them.
DIST_DIR ?= $(CARGO_TARGET_DIR)/dist/programs
# Always the whole workspace: with `-p` cargo unites other features of the dependencies and compiles them again.
CARGO_BUILD := cargo build --workspace --locked
# The whole-program optimisation takes minutes, and is for what is delivered or measured.
DIST_BUILD := $(CARGO_BUILD) --profile dist --features conductor-agent/one-allocator
READY := scripts/seed.sh; link=$$(scripts/rocksdb.sh); eval "$$link";
# More arguments for the command of a target:  make test ARGS='--test house'
ARGS ?=

help:
	@echo 'make setup   bring what is missing, and say what and why'
	@echo 'make build   the three programs, as the demo and the tests run them'
	@echo 'make demo    the ten-minute demo, against real processes'
	@echo 'make test    every test, with the real programs'
	@echo 'make fuzz    every reader of outside bytes, edited examples for a minute each'
	@echo 'make release-check  every test on a busy machine: twice at a time, then beside stress-ng; before a release'
	@echo 'make soak    full load over 100 tenants for 15 minutes: memory a minute, and what it is made of; then as many tenants as there may be'
	@echo 'make dist    the three programs for delivery: optimised as a whole, stripped, in one folder'
	@echo 'make bench   measure, beside peers'
	@echo 'make house   layers of the modules, sizes and figures of the code, beside peers'
	@echo 'make lint | fmt | fmt-check | deny   the gates that .ci/run runs'
	@echo 'make vendor  every dependency as source, for a machine without a network'
	@echo 'make env     the environment for calling cargo by hand:  eval "$$(make -s env)"'
	@echo 'make clean   remove what was built; RocksDB and the tools stay'

setup:
	@scripts/setup.sh

env:
	@scripts/setup.sh test
	@scripts/seed.sh
	@scripts/rocksdb.sh
	@printf 'export CARGO_TARGET_DIR=%q PATH=%q\n' "$$CARGO_TARGET_DIR" "$$PATH"

# A test among the targets gives the dependencies the features that all tests have: without one, those of which the
# features differ, and all that rests on them, would be compiled a second time for the tests.
build:
	@scripts/setup.sh demo
	@$(READY) $(CARGO_BUILD) $(PROGRAMS:%=--bin %) --test reference
	@echo 'built: $(CARGO_TARGET_DIR)/debug'

demo: build
	@CONDUCTOR_BIN_DIR='$(CARGO_TARGET_DIR)/debug' scripts/demo.sh $(ARGS)

test:
	@scripts/setup.sh test
	@$(READY) $(CARGO_BUILD) --bins --tests
	@sync # a build's gigabytes on their way to the disk would hold up every fsync of the tests
	@$(READY) CONDUCTOR_BIN_DIR='$(CARGO_TARGET_DIR)/debug' cargo test --workspace --locked $(ARGS)

# One after the other, so that each has a processor for its minute. For one of them, or for longer:
#   make fuzz ARGS=commands FUZZ_SECONDS=3600
FUZZ_SECONDS ?= 60
fuzz:
	@scripts/setup.sh test
	@$(READY) BOLERO_RANDOM_TEST_TIME_MS=$$(( $(FUZZ_SECONDS) * 1000 )) BOLERO_RANDOM_ITERATIONS=18446744073709551615 \
		cargo test --workspace --locked --test fuzz -- --test-threads=1 --nocapture $(ARGS)

release-check:
	@scripts/setup.sh release
	@$(READY) $(CARGO_BUILD) --bins --tests
	@sync
	@$(READY) CONDUCTOR_BIN_DIR='$(CARGO_TARGET_DIR)/debug' scripts/release-check.sh $(ARGS)

# The programs as they are delivered: another allocator, and so another memory, than those of the tests.
soak:
	@scripts/setup.sh
	@$(READY) $(DIST_BUILD) --bins
	@CONDUCTOR_BIN_DIR='$(CARGO_TARGET_DIR)/dist' "$(CARGO_TARGET_DIR)/dist/bench" soak
	@$(READY) CONDUCTOR_BIN_DIR='$(CARGO_TARGET_DIR)/dist' cargo test --workspace --locked --test soak

dist:
	@scripts/setup.sh demo
	@$(READY) $(DIST_BUILD) $(PROGRAMS:%=--bin %)
	@mkdir -p '$(DIST_DIR)'
	@for p in $(PROGRAMS); do strip -o '$(DIST_DIR)'/$$p '$(CARGO_TARGET_DIR)'/dist/$$p; done
	@echo 'built: $(DIST_DIR)'

bench:
	@scripts/setup.sh
	@$(READY) $(DIST_BUILD) --bins
	@CONDUCTOR_BIN_DIR='$(CARGO_TARGET_DIR)/dist' "$(CARGO_TARGET_DIR)/dist/bench" $(ARGS)

lint:
	@scripts/setup.sh
	@$(READY) cargo clippy --workspace --all-targets --locked -- -D warnings

# The gates over the code itself run in `make test`; here they print what they measured.
house:
	@scripts/setup.sh
	@scripts/seed.sh; cargo test --package conductor-house --test house --locked -- --nocapture --test-threads=1 layers_as report

fmt:
	@cargo fmt --all

fmt-check:
	@cargo fmt --all --check

deny:
	@scripts/setup.sh
	@scripts/deny.sh

vendor:
	@mkdir -p "$(VENDOR_DIR)"
	@cargo vendor --locked --versioned-dirs "$(VENDOR_DIR)" > "$(VENDOR_DIR).toml"
	@echo 'vendored into $(VENDOR_DIR)'
	@echo 'To build without a network: carry that folder and $(VENDOR_DIR).toml to the machine, correct the path in the'
	@echo 'latter if it differs there, append it to the file config.toml in $${CARGO_HOME:-~/.cargo}, and set'
	@echo 'CARGO_NET_OFFLINE=true. Rust and the Debian packages that `make setup` names must be there already.'

clean:
	@rm -rf "$(CARGO_TARGET_DIR)"
	@echo 'removed $(CARGO_TARGET_DIR); RocksDB, the tools and what other clones built are kept'
