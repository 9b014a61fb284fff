# make demo | test | lint | bench | validate | fuzz | lock | descriptor | architecture | picture | clean
# Everything runs in a virtual environment of the locked dependencies, made on first use from $(PYTHON).

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
BENCH_ARGS ?=
VALIDATE_ARGS ?= --output docs/validation.md
FUZZ_ARGS ?=
LOCK_ARGS ?=

python := $(VENV)/bin/python
installed := $(VENV)/.installed
# One lock for all supported Pythons: "fewest" keeps one version of every package, which the default does not.
compile := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock" $(LOCK_ARGS)

.PHONY: demo test lint bench validate fuzz lock descriptor architecture picture clean
.DELETE_ON_ERROR:

demo: $(installed)
	@test -d demo/input && test -f demo/model.json || $(python) -m bids_app.demo demo
	$(python) -m bids_app demo/input demo/output group --model demo/model.json
	@echo "Open this page in a browser: $(CURDIR)/demo/output/report.html"

# Whole files go to a worker, so that what a file prepares or compiles is made once; more than four workers
# spend more on starting than they save.
test: $(installed)
	$(python) -m pytest -n auto --maxprocesses 4 --dist loadfile $(PYTEST_ARGS)

lint: $(installed)
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy
	$(VENV)/bin/codespell

bench: $(installed)
	$(python) benchmarks/bench.py $(BENCH_ARGS)

# A quarter of an hour on two quiet cores; `make validate VALIDATE_ARGS=--quick` prints a rough page in one.
validate: $(installed)
	$(python) -m validation $(VALIDATE_ARGS)

# 200 damaged inputs and 20 runs that are killed: less than five minutes on two quiet cores; see fuzz/README.md
fuzz: $(installed)
	$(python) -m fuzz $(FUZZ_ARGS)

# `make lock LOCK_ARGS=--upgrade` takes the newest versions; without it only what has to change does.
lock: $(installed)
	$(compile) --output-file requirements/run.txt pyproject.toml
	$(compile) --group build --constraint requirements/run.txt --output-file requirements/build.txt
	$(compile) --group dev --constraint requirements/build.txt --constraint requirements/run.txt --output-file requirements/dev.txt pyproject.toml

# After a change of the command line or of the version
descriptor: $(installed)
	$(python) .ci/descriptor.py > boutiques.json.new
	mv boutiques.json.new boutiques.json

# After modules, their docstrings or their imports changed
architecture: $(installed)
	$(python) .ci/architecture.py

# The README's picture of the report, from the page that `make demo` wrote; needs Chromium
picture: $(installed)
	$(python) .ci/report_picture.py

# The virtual environment stays: it is a gigabyte to fetch, and `rm -r $(VENV)` is as short.
clean:
	rm -rf demo build dist .mypy_cache .pytest_cache .ruff_cache
	find bids_app tests benchmarks validation fuzz -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(installed): requirements/dev.txt pyproject.toml version
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "This project needs Python 3.11 or later, and '$(PYTHON)' is not: $$($(PYTHON) --version 2>&1)."; \
		echo "Name another one, for example: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; } >&2
	$(PYTHON) -m venv $(VENV)
	$(python) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	$(python) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
