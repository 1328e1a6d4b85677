# Thin: each target is set-up, RocksDB's link environment, and one or two commands that CONTRIBUTING.md also names.
# To call cargo yourself with the same environment, so that nothing is built twice:  eval "$(make -s env)"

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.PHONY: help setup env build demo test bench lint fmt fmt-check deny vendor clean

# Built things live outside the checkout, so that a fresh clone on the same machine finds them.
CONDUCTOR_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/conductor
CARGO_TARGET_DIR ?= $(CONDUCTOR_CACHE)/target
VENDOR_DIR ?= $(CONDUCTOR_CACHE)/vendor
export CONDUCTOR_CACHE CARGO_TARGET_DIR
export PATH := $(CONDUCTOR_CACHE)/tools/bin:$(PATH)
# It would move the programs to another folder than the one named below.
unexport CARGO_BUILD_TARGET

PROGRAMS := conductord conductor conductor-signer
# Always the whole workspace: with `-p` cargo unites other features of the dependencies and compiles them again.
RELEASE := cargo build --workspace --locked --release
ROCKSDB := link=$$(scripts/rocksdb.sh); eval "$$link";
# Clones share the target folder, and with it the names of the programs in it. Each clone runs its own copy, so that a
# build in another clone cannot change the program under a test. Given to the tests and the demo as CONDUCTOR_BIN_DIR.
OWN_BIN := $(CARGO_TARGET_DIR)/clone-$(shell printf '%s' '$(CURDIR)' | cksum | cut -d' ' -f1)
copy_programs = install -d "$(OWN_BIN)/$(1)"; install -m 755 $(PROGRAMS:%="$(CARGO_TARGET_DIR)/$(1)/%") "$(OWN_BIN)/$(1)"
# More arguments for the command of a target:  make test ARGS='-p conductor-shared'
ARGS ?=

help:
	@echo 'make setup   bring what is missing, and say what and why'
	@echo 'make build   the three programs, release profile'
	@echo 'make demo    the ten-minute demo, against real processes'
	@echo 'make test    every test, with the real programs'
	@echo 'make bench   measure, beside peers'
	@echo 'make lint | fmt | fmt-check | deny   the gates that .ci/run runs'
	@echo 'make vendor  every dependency as source, for a machine without a network'
	@echo 'make env     the environment for calling cargo by hand:  eval "$$(make -s env)"'
	@echo 'make clean   remove what was built; RocksDB and the tools stay'

setup:
	@scripts/setup.sh

env:
	@scripts/setup.sh test
	@scripts/rocksdb.sh
	@printf 'export CARGO_TARGET_DIR=%q PATH=%q\n' "$$CARGO_TARGET_DIR" "$$PATH"

build:
	@scripts/setup.sh demo
	@$(ROCKSDB) $(RELEASE) $(PROGRAMS:%=--bin %)
	@$(call copy_programs,release)
	@echo 'built: $(OWN_BIN)/release'

demo: build
	@CONDUCTOR_BIN_DIR='$(OWN_BIN)/release' scripts/demo.sh $(ARGS)

# `--tests` in the first line gives it the features that the second has; the programs and the tests then share one build.
test:
	@scripts/setup.sh test
	@$(ROCKSDB) cargo build --workspace --locked --bins --tests
	@$(call copy_programs,debug)
	@$(ROCKSDB) CONDUCTOR_BIN_DIR='$(OWN_BIN)/debug' cargo test $(or $(ARGS),--workspace) --locked

bench:
	@scripts/setup.sh
	@$(ROCKSDB) $(RELEASE) --bins
	@$(call copy_programs,release)
	@CONDUCTOR_BIN_DIR='$(OWN_BIN)/release' "$(CARGO_TARGET_DIR)/release/bench" $(ARGS)

lint:
	@scripts/setup.sh
	@$(ROCKSDB) cargo clippy --workspace --all-targets --locked -- -D warnings

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
	@echo 'removed $(CARGO_TARGET_DIR), which other clones on this machine share; RocksDB and the tools are kept'
