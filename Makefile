# make demo: set up, train and evaluate the demo grid, print its tables.   make test: set up, lint, types, tests.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOURS := -o faulthandler_timeout=0
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1); echo $$((n < 2 ? n : 2)))
SNAKEMAKE := $(BIN)/snakemake --cores $(JOBS) --logger cells
SLURM_PACKAGES := slurm-wlm slurm-wlm-basic-plugins munge
BROWSERS := chromium chromium-browser google-chrome
CODE := dataflex paper_figures workflow tests

EFFICIENCY := PYTHONPATH=reproductions:. $(BIN)/python -m efficiency
UPSTREAM := runs/efficiency/upstream
MEASURED ?= runs/efficiency/results
BESIDE = --output $(MEASURED) $(if $(wildcard $(UPSTREAM)/installed),--upstream $(UPSTREAM))
SEALED = $(if $(filter results/efficiency,$(MEASURED)),$(BIN)/dataflex-cli results timings)
ROWS ?= $(TEXT)
TEXT := $(firstword $(wildcard runs/demo/corpus/instructions.jsonl) runs/efficiency/corpus/instructions.jsonl)

.PHONY: demo test check test-crash test-mutations slurm browser test-slurm laptop laptop-smoke study review lint format efficiency efficiency-corpus efficiency-upstream paper clean help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/installed ## set up, train and evaluate the demo grid (one seed), print its tables
	$(SNAKEMAKE)
	@$(BIN)/python -m paper_figures show runs/demo

test: $(VENV)/installed ## set up, then lint, format check, types and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n $(JOBS) --dist loadfile

check: $(VENV)/installed ## compare reviewed results and golden runs with what is recorded of them
	$(BIN)/dataflex-cli check

test-mutations: $(VENV)/installed ## change every expression of every method by 1 %: the golden runs must tell (hours)
	$(BIN)/pytest tests/golden -m mutation -s $(HOURS)

test-crash: $(VENV)/installed ## kill every method's runs at every step, in every pass and every file (hours)
	$(BIN)/pytest tests/conformance -m crash $(HOURS)

slurm: ## install Slurm's daemons for make test-slurm, as root on Debian or Ubuntu
	@command -v slurmctld >/dev/null || test -x /usr/sbin/slurmctld || { \
	  test "$$(id -u)" = 0 && apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -qq -y --no-install-recommends $(SLURM_PACKAGES) >/dev/null; } || { \
	  echo "error: Slurm is missing: as root, apt-get install $(SLURM_PACKAGES)" >&2; exit 1; }

browser: ## install Chromium, in which the tests open the report, as root on Debian or Ubuntu
	@for name in $(BROWSERS); do command -v $$name >/dev/null && exit 0; done; { \
	  test "$$(id -u)" = 0 && apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -qq -y --no-install-recommends chromium >/dev/null; } || { \
	  echo "error: a browser is missing: as root, apt-get install chromium" >&2; exit 1; }

test-slurm: $(VENV)/installed slurm ## a Slurm of two nodes on this machine: every kind of job, the demo, a drill of faults
	$(BIN)/pytest tests/slurm $(HOURS) -m $(if $(SHORT),"slurm and not long","slurm")

laptop: $(VENV)/installed ## the laptop grid: SmolLM2-135M, every selector and weighter; goes on where it ended; LIMIT=8h ends it
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e .[laptop]
	$(if $(LIMIT),$(BIN)/python workflow/scripts/limit.py $(LIMIT) --) $(SNAKEMAKE) --configfile workflow/config/laptop.yaml || test $$? -eq 124
	-@if test -d runs/laptop/results; then for what in tables figures; do \
	  $(BIN)/python -m paper_figures $$what runs/laptop/results --output runs/laptop/$$what; done; \
	  $(BIN)/python -m paper_figures show runs/laptop; fi

laptop-smoke: $(VENV)/installed $(TEXT) ## SmolLM2-135M selects with LESS, is killed six times and ends in the same bits
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e .[laptop]
	PYTHONPATH=reproductions:. $(BIN)/python -m laptop --data $(ROWS)

study: $(VENV)/installed ## the demo grid with six seeds, to runs/study
	$(SNAKEMAKE) --configfile workflow/config/study.yaml
	@$(BIN)/python -m paper_figures show runs/study

review: $(VENV)/installed ## put a study's results forward for review: results/demo and its reference numbers
	$(BIN)/dataflex-cli results add runs/study/results --rung demo --replace --reference reproductions/reference/demo.csv \
	  --measured-on "make study, $$($(BIN)/python -c 'import platform; print(platform.machine(), "CPU")')"
	$(BIN)/dataflex-cli check --no-golden

paper: $(VENV)/installed ## every table and figure of results/, paper.tex and paper.md, to build/paper; numbers and a figure in README and docs
	rm -rf build/paper
	$(BIN)/python -m paper_figures paper results --output build/paper
	cp build/paper/demo/figures/planted.svg docs/figures/
	$(BIN)/python -m paper_figures prose
	$(BIN)/dataflex-cli crate

lint: $(VENV)/installed ## lint, format check and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

efficiency: $(VENV)/installed $(TEXT) ## time and memory beside plain passes, and beside upstream if it is installed
	$(EFFICIENCY) less --data $(TEXT) $(BESIDE)
	$(EFFICIENCY) loss --data $(TEXT) $(BESIDE)
	$(EFFICIENCY) neighbours $(BESIDE)
	$(EFFICIENCY) tsds $(BESIDE) $(if $(AUTHORS),--authors $(AUTHORS))
	$(EFFICIENCY) order --output $(MEASURED)
	$(EFFICIENCY) steps --corpus $(dir $(TEXT)) $(BESIDE)
	$(EFFICIENCY) steps --corpus $(dir $(TEXT)) --model moe $(BESIDE)
	@$(EFFICIENCY) tables --output $(MEASURED)
	$(SEALED)

efficiency-corpus: $(VENV)/installed $(TEXT) ## time the build of a corpus of 2 GB (5 GB of disk)
	test -d runs/efficiency/model || $(BIN)/dataflex-cli corpus model --corpus $(dir $(TEXT)) --output runs/efficiency/model
	$(EFFICIENCY) corpus --source $(dir $(TEXT))train --tokenizer runs/efficiency/model --folder runs/efficiency --output $(MEASURED)
	@$(EFFICIENCY) tables --output $(MEASURED)
	$(SEALED)

efficiency-upstream: ## an environment with upstream's dataflex 1.1.0, for make efficiency (7 GB)
	$(PYTHON) -m venv $(UPSTREAM)
	$(UPSTREAM)/bin/python -m pip install --disable-pip-version-check --quiet dataflex==1.1.0 traker==0.3.2 faiss-cpu==1.15.1
	if command -v nvcc > /dev/null; then \
		$(UPSTREAM)/bin/python -m pip install --disable-pip-version-check --quiet setuptools wheel && \
		$(UPSTREAM)/bin/python -m pip install --disable-pip-version-check --quiet --no-build-isolation fast_jl==0.1.3 || \
		echo "fast_jl was not built: LESS of the others will project slowly; see reproductions/efficiency/README.md" >&2; \
	fi
	touch $(UPSTREAM)/installed

$(TEXT): | $(VENV)/installed
	$(BIN)/dataflex-cli corpus harvest --output $(dir $@)

clean: ## remove the demo's and the study's files, not the environment
	rm -rf runs/demo runs/study .snakemake

# The stamp is written last, so that an interrupted installation is started again.
$(VENV)/installed: constraints.txt pyproject.toml workflow/plugins/pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) was not found; install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V); name another: make PYTHON=python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[suite,deepspeed,embeddings,dev]' --editable workflow/plugins
	touch $@
