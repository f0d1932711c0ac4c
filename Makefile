# Two commands for newcomers: `make demo` and `make test`. Each sets up what it needs.
.DEFAULT_GOAL := help
.PHONY: help demo test check lint types layers tests lab lab-shell format setup bench bench-http bench-boot bench-build bench-cli bench-firecracker bench-lab bench-compare clean
V := .venv/bin
# Many tests wait, for machines that boot and for what must not happen.
JOBS ?= $(shell echo $$(($$(nproc) + 1)))

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done

demo: ## build the clock appliance, boot it in a microVM, ask it four times
	@tools/setup run
	@$(V)/squib demo

test: ## lint, types, layers, and every test
	@tools/setup test
	@$(MAKE) --no-print-directory check tests

check: lint types layers ## what needs no virtual machine: lint, types, layers

lint:
	$(V)/ruff check .
	$(V)/ruff format --check --quiet .

types:
	$(V)/mypy

layers:
	$(V)/lint-imports --no-cache --quiet 2>/dev/null || $(V)/lint-imports --no-cache

tests:
	$(V)/pytest --numprocesses=$(JOBS) --no-loadscope-reorder $(ARGS)

bench: ## measure what docs/promises.md promises, and write it there anew (bench/README.md)
	@tools/setup bench
	$(V)/python -m bench

bench-http bench-boot bench-build bench-cli bench-firecracker bench-lab: bench-%:
	@tools/setup bench
	$(V)/python -m bench $*

bench-compare:
	$(V)/python -m bench.compare

lab: ## the tests of real Firecracker, on an emulated host; ARGS='-k NAME' picks some
	@tools/setup test
	@PYTHONPATH=tests $(V)/python -m lab $(ARGS)

lab-shell: ## a shell on that host
	@tools/setup test
	@PYTHONPATH=tests $(V)/python -m lab --shell

format: ## write the code as `make lint` wants it
	$(V)/ruff check --fix .
	$(V)/ruff format .

clean: ## remove what was made here
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
