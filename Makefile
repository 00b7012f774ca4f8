# make demo: set up, train and evaluate the demo grid, print its tables.   make test: set up, lint, types, tests.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1); echo $$((n < 2 ? n : 2)))
SNAKEMAKE := PYTHONPATH=workflow/plugins $(BIN)/snakemake --cores $(JOBS) --logger cells
CODE := dataflex paper_figures workflow tests

.PHONY: demo test study review lint format clean help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/installed ## set up, train and evaluate the demo grid (one seed), print its tables
	$(SNAKEMAKE)
	@$(BIN)/python -m paper_figures show runs/demo

test: $(VENV)/installed ## set up, then lint, format check, types and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

study: $(VENV)/installed ## the demo grid with six seeds, to runs/study
	$(SNAKEMAKE) --configfile workflow/config/study.yaml
	@$(BIN)/python -m paper_figures show runs/study

review: $(VENV)/installed ## put a study's results forward for review: results/demo and its reference numbers
	$(BIN)/python workflow/scripts/review.py runs/study/results --target results/demo \
	  --reference reproductions/reference/demo.csv --source "make study, $$($(BIN)/python -c 'import platform; print(platform.machine(), "CPU")')"
	$(BIN)/dataflex-cli check

lint: $(VENV)/installed ## lint, format check and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the demo's and the study's files, not the environment
	rm -rf runs/demo runs/study .snakemake

# The stamp is written last, so that an interrupted installation is started again.
$(VENV)/installed: constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) was not found; install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V); name another: make PYTHON=python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[suite,deepspeed,embeddings,dev]'
	touch $@
