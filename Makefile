# make demo: set up, train the mini model on scenes, test it, segment a picture.
# make test: set up, run the tests.
# make lint: set up, run linter and type checker.     make docs: build the site.
# PYTHON=python3.12 picks another Python, MM=openmmlab OpenMMLab's own packages,
# PIP_ARGS="..." is handed to pip.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

MM ?= onedl
PIP_ARGS ?=
NEEDED_GB ?= 9
# Relative paths only: the folder's own path may hold blanks.
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/installed-$(MM)

.PHONY: help demo test lint docs install clean

help:
	@sed -n '1,5s/^# //p' Makefile

install: $(INSTALLED)

$(INSTALLED): setup.cfg setup.py
	@python="$(PYTHON)"; \
	for name in python3.11 python3.12 python3.13 python3.10 python3 python; do \
	  [ -n "$$python" ] && break; \
	  "$$name" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' \
	    2>/dev/null && python=$$name || true; \
	done; \
	if [ -z "$$python" ] || ! "$$python" -c \
	    'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; then \
	  echo "Needs Python 3.10 to 3.13 (make PYTHON=/path/to/python3.11 ...)" >&2; \
	  exit 1; \
	fi; \
	if [ ! -x $(PY) ]; then \
	  free=$$(df -Pk . | awk 'NR == 2 { print int($$4 / 1048576) }'); \
	  if [ "$$free" -lt $(NEEDED_GB) ]; then \
	    echo "Needs $(NEEDED_GB) GB of free disk here for torch and the others," \
	      "there are $$free (NEEDED_GB=0 skips this check)" >&2; \
	    exit 1; \
	  fi; \
	  rm -rf $(VENV); \
	  "$$python" -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "This Python cannot make virtual environments: install its venv module" \
	      "(Debian: apt install python3-venv)" >&2; exit 1; }; \
	fi
	@echo "Installing into $(VENV) (several GB the first time) ..."
	@$(PY) -m pip install --quiet --upgrade pip
	@$(PY) -m pip install --quiet $(PIP_ARGS) torch torchvision
	@$(PY) -m pip install --quiet $(PIP_ARGS) -e ".[$(MM),dev]"
	@touch $(INSTALLED)

demo: $(INSTALLED)
	@$(PY) -m mmseg_dcpclip.cli demo --scenes

test: $(INSTALLED)
	@OMP_NUM_THREADS=1 $(PY) -m pytest tests --numprocesses logical --maxprocesses 8

lint: $(INSTALLED)
	@$(PY) -m ruff check .
	@$(PY) -m mypy

docs: $(INSTALLED)
	@$(PY) -m pip install --quiet $(PIP_ARGS) -e ".[docs]"
	@$(PY) -m mkdocs build --quiet
	@echo "open site/index.html"

clean:
	rm -rf $(VENV) build site *.egg-info
