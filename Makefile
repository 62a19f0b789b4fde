# make install | quickstart | test | check | types | docs | imports | clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install quickstart test check types docs imports clean

install: $(STAMP)

# torch first and by exact version: a range would take the newest build, with several GB of CUDA libraries.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: warmgap needs Python 3.11 or newer"; echo "why:   $(PYTHON) is older"; \
	    echo "fix:   make PYTHON=python3.12 install"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

quickstart: install
	$(BIN)/python train.py +persona=warm

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder   # two processes of two threads would fight

check: install types
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
