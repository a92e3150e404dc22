# Needs make and Python 3.11 or newer, nothing else: the first target that needs .venv makes it.
# Choose another interpreter with  make setup PYTHON=python3.12

PYTHON ?= python3
RUN := .venv/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check
BUILD_REQUIRES := $(RUN) -c 'import tomllib; \
  print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])'
STAMP := .venv/.installed
STAMP_DEV := .venv/.installed-dev
STAMP_BENCH := .venv/.installed-bench
STAMP_DOCS := .venv/.installed-docs
# Of the tests, each of which uses more than one core for a part of its time.
WORKERS ?= 2
BENCHMARKS := populations meta_training sampling zoo
# Without a GPU of NVIDIA's, PyTorch's small build for CPUs does.
TORCH_INDEX := $(if $(shell command -v nvidia-smi),,--index-url https://download.pytorch.org/whl/cpu)

.DEFAULT_GOAL := help
.PHONY: help setup demo test torch check docs bench clean

help:
	@echo "make setup   install into .venv what the programs need, and them"
	@echo "make demo    train, predict and report on digits, in about five minutes; see runs/digits"
	@echo "make test    run the tests"
	@echo "make torch   install PyTorch, which benchmarks compare with; a few tests skip without it"
	@echo "make check   lint, format check, type check, shellcheck"
	@echo "make docs    build the site of docs/ into site/"
	@echo "make bench   measure speed beside PyTorch, and on the demo; each benchmark prints a table"
	@echo "make clean   remove caches; keeps .venv and runs"

setup: $(STAMP)

demo: $(STAMP)
	$(RUN) -m mole_jax.main --config=configs/digits_mlp.py --workdir=runs/digits

test: $(STAMP_DEV)
	$(RUN) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

torch: $(STAMP_BENCH)

check: $(STAMP_DEV)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	.venv/bin/shellcheck --external-sources launch/*.sh

docs: $(STAMP_DOCS)
	$(RUN) -m sphinx --fail-on-warning --keep-going --quiet -j auto docs site
	@echo "open site/index.html"

bench: $(STAMP_BENCH) demo
	@set -e; for name in $(BENCHMARKS); do \
	  echo "== $$name"; $(RUN) -m benchmarks.$$name; \
	done

clean:
	rm -rf .mypy_cache .pytest_cache .ruff_cache build dist site *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# Stamps make installation happen again when, and only when, the requirements change. The package
# itself is installed as a link to this folder, so that what is edited here counts everywhere. Its
# build requirements go into .venv, too: pip would otherwise download them for every build, and a
# machine without network that has them could not build.
$(STAMP): requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: $(PYTHON) is missing: install Python 3.11 or newer," \
	    "or name one with PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is $$($(PYTHON) --version), too old: install Python 3.11 or newer," \
	    "or name one with PYTHON=python3.12" >&2; exit 1; }
	@$(RUN) -m pip --version >/dev/null 2>&1 || { \
	  $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "error: $(PYTHON) cannot make virtual environments:" \
	      "on Debian and Ubuntu run  apt install python3-venv  as root" >&2; exit 1; }; \
	  echo "making .venv"; $(PYTHON) -m venv --clear .venv; }
	$(PIP) -r requirements.txt $$($(BUILD_REQUIRES))
	$(PIP) --no-build-isolation --no-deps --editable .
	@touch $@

$(STAMP_DEV): requirements-dev.txt $(STAMP)
	$(PIP) -r requirements-dev.txt
	@touch $@

$(STAMP_DOCS): requirements-docs.txt $(STAMP)
	$(PIP) -r requirements-docs.txt
	@touch $@

$(STAMP_BENCH): requirements-bench.txt $(STAMP)
	$(PIP) "$$(grep '^torch' $<)" $(TORCH_INDEX) || \
	  $(PIP) "$$(grep '^torch' $<)"
	$(PIP) -r $<
	@touch $@
