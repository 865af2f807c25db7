# What there is to do with this repository. `make help` lists it.
.DEFAULT_GOAL := help
.PHONY: help demo demo-vm build test fuzz bench lint fmt packages proto system-build system-test

CARGO ?= cargo

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-10s %s\n", $$1, $$2 }'

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

packages: ## debs and rpms into target/packages/ (not built yet)
	@echo "make packages: packages come with a later version; see CHANGELOG.md" >&2; exit 1

system-build:
	@packaging/system-packages.sh build

system-test:
	@packaging/system-packages.sh test
