# Everything that a fresh machine with Python 3.11 to 3.13 needs: `make demo` and `make test` install what they use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
DEMO ?= demo
# TORCH=cpu: PyTorch without CUDA, from the place that uv knows for it. Versions stay pinned, but other files than the
# pinned ones are installed: without hashes.
TORCH ?=

.PHONY: help install demo test lint unit test-cluster test-kfp test-gitops images rebuild lock compile reference clean
.DEFAULT_GOAL := help

help: ## Show this help
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install: $(VENV)/.demo ## Install the command embedtune into .venv
	@echo "Installed. Next: source $(VENV)/bin/activate, then embedtune --help"

demo: $(VENV)/.demo ## Tune all-MiniLM-L6-v2 on the sample handbook and report whether it helped
	$(BIN)/embedtune demo --work $(DEMO)

test: $(VENV)/.dev lint unit ## Install, then run every check and test

lint: $(VENV)/.dev ## ruff, mypy, import-linter, stale pipelines, stale reference pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pipelines.compile --check
	$(BIN)/python -m embedtune.cli.reference --check

# Without compiled modules every process that tests start compiles PyTorch again (26 instead of 7 seconds of CPU time).
unit: $(VENV)/.dev ## pytest, in two processes with one thread each; a file's tests share one
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-cluster: $(VENV)/.dev ## pytest on a Kubernetes cluster (docs/kubernetes.md says what it needs)
	$(BIN)/python -m pytest -m cluster tests/cluster

test-kfp: $(VENV)/.dev ## pytest against Kubeflow Pipelines (EMBEDTUNE_TEST_KFP=http://host:port)
	$(BIN)/python -m pytest -m kfp tests/pipelines

test-gitops: $(VENV)/.dev ## pytest against Argo CD and Flux (CONTRIBUTING.md says what it needs)
	$(BIN)/python -m pytest -m gitops tests/gitops

compile: $(VENV)/.dev ## Recompile the pipelines
	$(BIN)/python -m pipelines.compile

reference: $(VENV)/.dev ## Regenerate docs/reference/
	$(BIN)/python -m embedtune.cli.reference

LOCK = $(BIN)/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate --generate-hashes --no-emit-package embedtune
lock: $(VENV)/.uv ## Update the pinned requirements
	for name in dev demo triton cpu build; do $(LOCK) requirements/$$name.in -o requirements/$$name.txt; done
	$(LOCK) requirements/gpu.in --no-emit-package faiss-cpu -o requirements/gpu.txt
	sed -n 's/ \\$$//; /^[a-z]/p' requirements/dev.txt | grep -vE '^(numpy|ml-dtypes)==' | $(LOCK) requirements/serve.in -c - -o requirements/serve.txt

images: ## Build the images cpu, gpu and triton, each with its SBOM (options: see images/build)
	images/build

rebuild: ## The same from fresh bases and packages of the distribution, for a weekly job; the tag ends with the date
	REBUILD=$$(date -u +%Y%m%d) images/build

clean: ## Remove the virtual environment and the demo
	rm -rf $(VENV) $(DEMO)

$(VENV)/.uv:
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14), f"embedtune needs Python 3.11 to 3.13, this is {sys.version}; set PYTHON="'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	touch $@

$(VENV)/.demo: $(VENV)/.uv requirements/demo.txt pyproject.toml
ifdef TORCH
	sed -n 's/ \\$$//; /^[a-z]/p' requirements/demo.txt | grep -vE '^(triton|nvidia|cuda)' > $(VENV)/versions.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --torch-backend=$(TORCH) -c $(VENV)/versions.txt -e '.[demo]' \
	  || { echo "TORCH=$(TORCH) needs PyTorch's own index. Without it: make install, which uses PyPI only (5.2 GB)."; exit 1; }
else
	@echo "On Linux with an x86 CPU this installs 5.2 GB, of which 3.4 GB are for GPUs; make install TORCH=cpu leaves those out."
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q -r requirements/demo.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --no-deps -e .
endif
	touch $@

$(VENV)/.dev: $(VENV)/.uv requirements/dev.txt pyproject.toml
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q -r requirements/dev.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --no-deps -e .
	touch $@
