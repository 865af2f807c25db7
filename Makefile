# What there is to do with this repository. `make help` lists it.
.DEFAULT_GOAL := help
.PHONY: help demo demo-vm build test test-install fuzz bench lint fmt manuals packages proto system-build system-test system-packages

CARGO ?= cargo

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-12s %s\n", $$1, $$2 }'

demo: build ## Server, agent and a webhook on this machine: posture, fleet, alert. Ctrl-C ends it
	@packaging/demo.sh

demo-vm: system-test build ## The same on a real kernel with encrypted, plain and mixed volumes
	@$(CARGO) run --quiet -p atrest-tests --bin demo-vm

build: system-build ## Build the agent, the server and atrestctl
	$(CARGO) build --locked -p atrest-agent -p atrest-server

test: system-test ## Every test, with counts; what is skipped says so
	@tests/run.sh

fuzz: system-build ## libFuzzer on every parser, FUZZ_SECONDS (60) each; needs cargo-fuzz
	@tests/fuzz/run.sh $(TARGETS)

bench: system-test ## Figures beside their floors; writes target/bench.json
	@$(CARGO) run --quiet --release --locked -p atrest-tests --bin bench

lint: system-build ## Formatting and clippy, as CI has them
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

fmt: ## Format the code
	$(CARGO) fmt --all

proto: system-build ## Regenerate proto/src/gen after a change to a .proto
	ATREST_BLESS=1 $(CARGO) test --quiet -p atrest-proto --test codegen

manuals: system-build ## Write man pages, completions and docs/checks.md anew, from the source
	ATREST_BLESS=1 $(CARGO) test --quiet --workspace --lib --bins --test packaging -- \
		of_this_command_line the_document_on_checks the_manual_of_each

packages: system-packages ## debs and rpms into target/packages/, for x86-64 (10 minutes)
	@packaging/packages.sh

test-install: system-packages ## Install, upgrade, remove and purge what `make packages` made (5 minutes)
	@tests/install/run.sh

system-build:
	@packaging/system-packages.sh build

system-test:
	@packaging/system-packages.sh test

system-packages:
	@packaging/system-packages.sh packages
