# `make demo` and `make test` are the two commands of the README; both make their own virtual environment.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.installed
# A path, not an import hook: a script beside the clone would import the folder `scorenet` itself, which has no names.
EDITABLE = --config-settings editable_mode=compat --editable

.PHONY: demo test check bench acceptance soak mutants clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scorenet needs Python 3.11 or later, found " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(EDITABLE) '.[report,dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/scorenet demo

test: check
	$(BIN)/pytest -m "not acceptance and not online" -n 2

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(EDITABLE) '.[report,dev,bench]'
	for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

acceptance: $(STAMP)
	$(BIN)/pytest -m acceptance

soak: $(STAMP)
	$(BIN)/python -m tests.soak

mutants: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(EDITABLE) '.[report,dev,mutants]'
	$(BIN)/python -m tests.mutants

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
