# Everything a person or a script needs, on a fresh machine too: each target does its own set-up.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup setup-tests demo serve test test-extra check format bench package

# The Node that npm installed, before an older one of the machine. `setup` runs without it: npm replaces it.
WITH_NODE := PATH="$(CURDIR)/node_modules/.bin:$$PATH"

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## install what is missing (idempotent)
	@sh scripts/setup.sh

setup-tests: setup
	@sh scripts/setup.sh tests

demo: setup ## one real session on this machine, driven by the official SDK (HARNESS=sandpi, claude or codex)
	@$(WITH_NODE) sandbox0 demo $(if $(HARNESS),--harness $(HARNESS))

serve: setup ## the server in the foreground
	@$(WITH_NODE) sandbox0 serve

test: setup-tests ## every test that needs no paid service
	@$(WITH_NODE) vitest run

test-extra: setup-tests ## soaks and repetitions: proof that takes longer
	@$(WITH_NODE) vitest run --config vitest.extra.config.ts

check: setup ## format, lint, types, imports, dead exports, size limits
	@$(WITH_NODE) node scripts/check.ts

format: setup ## write the formatting that check asks for
	@$(WITH_NODE) biome check --write .

bench: setup-tests ## the figures of docs and README, one JSON line each
	@$(WITH_NODE) node bench/run.ts

package: setup ## the npm package, in dist/
	@$(WITH_NODE) node scripts/package.ts
