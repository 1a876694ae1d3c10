# Two commands do it all: `make repro` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# What would hide the pinned modules or this project from Python and dvc, or have another shell run the stages.
unexport CDPATH PYTHONHOME PYTHONPATH PYTHONSAFEPATH PYTHONWARNINGS
export SHELL := /bin/sh
# What would have pip put packages elsewhere than into .venv.
unexport PIP_DRY_RUN PIP_PREFIX PIP_PYTHON PIP_ROOT PIP_TARGET
# What would refuse to install this project itself, which has no hash.
unexport PIP_REQUIRE_HASHES
export PIP_USER := 0

# GPU=1 swaps in TensorFlow's CUDA build (Linux, NVIDIA), some 3 GB more; said once, it holds until make clean.
GPU ?= $(if $(wildcard $(VENV)/.ready-gpu),1)
READY := $(VENV)/.ready$(if $(GPU),-gpu)

# Programs of a venv name its folder: where the project was moved, renamed or copied, they do not start, or are those
# of the other folder.
MOVED := $(shell if [ -e $(BIN)/dvc ]; then \
	named=$$(sed -n '1,2s|^[^/]*\(/.*\)/bin/python.*|\1|p' $(BIN)/dvc); \
	$(BIN)/python -I -S -c '' && [ "$$(cd "$$named" && pwd -P)" = "$$(cd $(VENV) && pwd -P)" ] || echo moved; \
	fi 2>/dev/null)

# Tests that share a module's fixture stay with one worker (tests/tiers.py), the others go where there is time.
WORKERS := --numprocesses auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

define SHOW
import json, pandas
metrics = json.load(open("metrics/metrics.json"))
splits = {name: metrics[name] for name in ("train", "validation", "test")}
print(pandas.DataFrame(splits).drop(index=[name for name in metrics["test"] if name == "units" or name.endswith("_ci95")]).to_string())
interval = metrics["test"]["accuracy_ci95"]
print("\ntest accuracy {:.2%}, 95 % interval {low:.2%} to {high:.2%}".format(metrics["test"]["accuracy"], **interval))
endef
export SHOW

.DEFAULT_GOAL := help
.PHONY: help setup settle remake repro test test-all faults lint bench lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: settle $(READY) ## make .venv with the pinned requirements and the command kiln (GPU=1: with CUDA)

settle:
	@.ci/settle

remake:

$(READY): requirements.txt $(if $(GPU),requirements-gpu.txt) $(if $(MOVED),remake)
	$(if $(MOVED),@echo "make: $(VENV) was made for another folder or another Python and does not start here: making it anew")
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || \
		{ echo "Kiln needs Python 3.11, 3.12 or 3.13, but $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || \
		echo not there): try make PYTHON=python3.12"; exit 1; }
	@# Where $(PYTHON) is that of .venv itself, by the one that it was made from.
	$(if $(MOVED),made=$$($(PYTHON) -c 'import sys; print(sys._base_executable)') && rm -rf $(VENV) && "$$made" -m venv $(VENV))
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	$(if $(GPU),$(BIN)/python -m pip uninstall --quiet --yes tensorflow-cpu)
	$(if $(GPU),$(BIN)/python -m pip install --quiet --require-hashes -r requirements-gpu.txt)
	@# The command kiln: a script, and a line with this folder's path. Without the network.
	$(BIN)/python -m pip install --quiet --no-deps --no-index --no-build-isolation --editable .
	@test -e $(BIN)/dvc || { echo "make: pip has put the packages elsewhere than into $(VENV): take target, prefix, root" \
		"and dry-run out of the files that \`$(BIN)/python -m pip config debug\` lists"; exit 1; }
	@touch $@

repro: setup ## run the pipeline; ends with the metrics and the report's path
	@dvc repro
	@echo; python -c "$$SHOW"
	@echo "report: $(CURDIR)/metrics/report.html"

test: setup ## run the quick tests: all units, one of each kind of process (6 minutes)
	@pytest $(WORKERS)

test-all: setup ## run what `make test` leaves: ssh, browser, queue, long property runs (half an hour)
	@pytest $(WORKERS) --tier full

faults: setup ## kill, fill, corrupt and fuzz everything at length (most of an hour)
	@KILN_FAULTS=all pytest --tier all tests/faults tests/networks/test_applications.py

lint: setup ## check format and style
	@ruff format --check .
	@ruff check .

bench: setup ## print measured ratios (minutes); the other scripts of tests/bench/ ask for data
	@for name in article recipe startup augment; do echo "== $$name"; python tests/bench/$$name.py || exit 1; done

lock: setup ## compile requirements*.txt anew from requirements*.in (needs uv)
	@for name in requirements requirements-gpu; do \
		uv pip compile $$name.in -o $$name.txt --quiet --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" || exit 1; done

clean: ## delete .venv and caches of tools; never DVC's cache or your data
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
	find kiln stages tests -name __pycache__ -type d -prune -exec rm -rf {} +
