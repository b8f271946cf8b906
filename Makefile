# `make run` and `make test` are all that a newcomer needs; each does its own set-up.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test check ship fuzz soak bench day routing train figures dashboard image image-check clean cargo

help: ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1	\2/p' $(MAKEFILE_LIST)

run: cargo ## build Weir and serve with config/weir.toml (no keys needed)
	cargo run --release --locked -- serve --config config/weir.toml

test: cargo ## check everything: style, lints, licences, tests, the OpenAI SDKs, the dashboard
	tools/setup.sh
	cargo fmt --all --check
	cargo clippy --all-targets --locked -- -D warnings
	tools/deny.sh
	cargo test --locked
	tests/sdk/run.sh
	node tests/dashboard/check.mjs

check: cargo ## the quick part of `make test`, for while you work
	cargo fmt --all --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo test --locked --lib --test tidy

ship: cargo ## build the binary that ships, target/ship/weir: twice, the second time by a profile of its own work
	tools/ship.sh

fuzz: cargo ## look for inputs that break the readers, FUZZ_SECONDS (600) for each; needs a nightly compiler
	tools/fuzz.sh

soak: cargo ## mixed traffic, faults, reloads for SOAK_SECONDS (600): nothing grows; then kill it under load 200 times (WEIR_CRASHES)
	cargo build --release --locked --bin weir --example wire
	python3 benches/wire/soak.py target/release/weir target/release/examples/wire
	WEIR_CRASHES=$${WEIR_CRASHES:-200} cargo test --locked --test blackbox -- --nocapture what_was_answered_outlives

# What `make bench` measures: core, all, stream, pieces, or the parts that benches/wire/run.py names, with commas.
BENCH ?= core

bench: cargo ## measure Weir beside nginx, a core each: BENCH=core (10 minutes), all (45), stream, pieces; installs nginx, wrk (Debian)
	@if [ "$(BENCH)" = all ] || [ "$(BENCH)" = pieces ]; then \
	  cargo bench --locked --bench pieces --bench classify --bench cache --bench money; fi
	@if [ "$(BENCH)" != pieces ]; then \
	  tools/ship.sh && cargo build --release --locked --example wire && \
	  python3 benches/wire/run.py target/ship/weir target/release/examples/wire $(BENCH); fi

day: cargo ## send a day of labelled prompts (WEIR_DAY_REQUESTS, 10000) through the gateway, each way to route in turn
	WEIR_DAY_REQUESTS=$${WEIR_DAY_REQUESTS:-10000} cargo test --locked --test blackbox -- --nocapture a_day_through

# Outcomes of pairs of models on public questions, NAME_dev.jsonl for each benchmark that tools/train names.
OUTCOMES ?= ../shared/data/routing

routing: cargo ## show by cross-validation which prompts the classifier tells apart, beside keywords, length, chance (OUTCOMES)
	cargo run --profile quick --locked --example train -- $(OUTCOMES)
	cargo run --profile quick --locked --example train -- $(OUTCOMES) --calibration

train: cargo ## train the classifier that ships anew (OUTCOMES)
	cargo run --profile quick --locked --example train -- $(OUTCOMES) --write src/classify/model.bin --date $$(date +%F)

dashboard: cargo ## look at the dashboard in Chromium; with WEIR_BLESS=1 take the pictures of the README anew
	cargo build --locked
	node tests/dashboard/check.mjs

figures: cargo ## build the binary that ships and quote its size, idle memory, and start to first answer
	tests/figures.sh

image: ## build the container image with buildah
	buildah build --format docker --tag weir:latest .

image-check: ## build the image on a base made here, then ask the binary in it (root, Debian)
	tests/image.sh

clean: ## remove everything built or installed in this folder
	rm -rf target fuzz/target fuzz/corpus .venv tests/sdk/node/node_modules tests/dashboard/node_modules

cargo:
	@command -v cargo >/dev/null || { \
	  echo "Weir is built with Rust's cargo, which is not here."; \
	  echo "Get it from https://rustup.rs, or as your system's packages, then run make again."; \
	  exit 1; }
