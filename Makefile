# `make help` lists what there is. Everything runs in .venv, which is built on first use.
.DEFAULT_GOAL := help
PYTHON ?= python3
TORCH_INDEX ?=
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export NO_ALBUMENTATIONS_UPDATE := 1

PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help setup run experiments report back test test-all lint clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*##/ { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: .venv/.complete  ## build .venv (TORCH_INDEX=URL takes torch from that package index)

# torch without its dependencies: an index of its own holds few versions of them, not the pinned ones.
.venv/.complete: requirements.txt requirements-core.txt requirements-dev.txt requirements-export.txt requirements-serve.txt requirements-cluster.txt constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4) and "Python 3.11.4 or newer is needed; try make run PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX),$(PIP) --no-deps --index-url $(TORCH_INDEX) $$(grep ^torch== requirements-core.txt))
	$(PIP) --requirement requirements.txt --requirement requirements-dev.txt
	touch $@

run: setup  ## run the whole pipeline and print its results
	dvc repro
	@python -m tools.summary
	@python -m tools.report
	@git diff --quiet -- dvc.lock metrics || printf '%s\n' "" \
		"Not all results are the committed ones: another processor gives other last digits (git diff metrics)." \
		"To compare later experiments with yours: git add dvc.lock metrics && git commit -m 'Results of this machine'"

experiments: setup  ## ask the lab report's questions: run what is missing, say what the results show (SET="-S KEY=VALUE …")
	python -m tools.experiments run experiments/lab_report.yaml $(SET)

report: setup  ## write the page about the latest run: report/index.html
	@python -m tools.report

back: setup  ## go back to the last commit: params, lock, metrics, outputs; asks nothing, keeps your code
	@python -m tools.back

test: setup  ## the fast tests
	python -m pytest -m "not slow" -n 2 --dist loadfile

test-all: test  ## all tests, the slow ones too
	python -m pytest -m slow -n 2 --dist worksteal

lint: setup  ## ruff and mypy
	ruff check .
	ruff format --check .
	mypy

clean:  ## remove .venv; outputs and DVC's cache stay
	rm -rf .venv
