# Two commands do all the set-up: `make walkthrough` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
# What holds for every run of the tests: the drawn sample, and results of their own.
DRAWN := CALTECH_LAB_DATASET=drawn
REAL := CALTECH_LAB_DATASET=caltech101

ROOMS := $(wildcard caltech_lab/*.py caltech_lab/datasets/*.py caltech_lab/widgets/*.py)
DOCUMENTED := $(subst /,.,$(patsubst %.py,%,$(filter-out %__init__.py %__main__.py,$(ROOMS))))

.PHONY: help walkthrough lab notebooks test test-unit test-notebooks test-promises test-caltech101 lint format report docs clean
.DEFAULT_GOAL := help

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,efficientnet]"
	@touch $@

walkthrough: $(INSTALLED)  ## install everything and run all the notebooks
	$(BIN)/python -m caltech_lab.series walkthrough

lab: $(INSTALLED)  ## open JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

notebooks: $(INSTALLED)  ## re-run the committed notebooks in place and normalise them
	$(REAL) $(BIN)/python -m caltech_lab.series notebooks $(ONLY)

report: $(INSTALLED)  ## measure report51 and all 101 categories: outputs/*/resnet50/final_report.json
	$(BIN)/caltech-lab report --dataset report51
	$(BIN)/caltech-lab report --dataset caltech101

docs: $(INSTALLED)  ## the API reference, from the docstrings: build/docs/index.html
	$(BIN)/pdoc --docformat numpy --output-directory build/docs caltech_lab caltech_lab.cli \
	  caltech_lab.plots $(DOCUMENTED) 2>/dev/null
	@echo "The API reference is build/docs/index.html"

test: test-unit test-notebooks  ## unit tests, and the notebooks on the drawn sample

test-unit: $(INSTALLED)
	$(BIN)/python -m pytest tests --ignore=tests/promises

test-promises: $(INSTALLED)  ## slower tests: killed runs, full disks, the same numbers twice
	$(BIN)/python -m pytest tests/promises

test-notebooks: $(INSTALLED)
	$(DRAWN) $(BIN)/python -m pytest --nbval-lax --nbval-cell-timeout=600 notebooks

test-caltech101: $(INSTALLED)  ## the notebooks on the real photographs
	$(REAL) $(BIN)/python -m pytest --nbval-lax --nbval-cell-timeout=1800 notebooks

lint: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check caltech_lab tests notebooks
	$(BIN)/ruff format --check caltech_lab tests
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix --quiet caltech_lab tests notebooks || true
	$(BIN)/ruff format caltech_lab tests

clean:  ## remove the environment and all that the notebooks made
	rm -rf $(VENV) build outputs/*/ .*_cache
