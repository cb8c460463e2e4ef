# maskcls: two commands set everything up, make demo and make test
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help env demo test test-slow test-realdata lint format clean

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(VENV)/.installed ## make the environment, in .venv

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing PyTorch and the rest, some 6 GB on Linux: this takes minutes"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,download]'
	@touch $@

demo: env ## train and evaluate on synthetic faces, two minutes after installation
	@set -e; run=outputs/demo_$$(date +%Y-%m-%d_%H-%M-%S); \
	echo "maskcls-train model=resnet18 optim=sgd experiment=demo hydra.run.dir=$$run"; \
	$(BIN)/maskcls-train model=resnet18 optim=sgd experiment=demo hydra.run.dir=$$run; \
	echo; echo "maskcls-eval ckpt=$$run"; \
	$(BIN)/maskcls-eval ckpt=$$run hydra.run.dir=$${run}_eval; \
	echo; echo "checkpoints   $$run/checkpoints/best.pt and last.pt"; \
	echo "figures       $$run/metrics.csv, $$run/evaluation/test/metrics.json"; \
	echo "plots         $$run/plots"; \
	echo "on your data  $(BIN)/maskcls-train model=resnet18 optim=sgd data=folder data.root=FOLDER"

test: env ## run the tests, some minutes
	$(BIN)/python -m pytest -q

test-slow: env ## run the tests that take long
	$(BIN)/python -m pytest -q -m slow

test-realdata: env ## run the tests on real images, from the folder that MASKCLS_SHARED names
	$(BIN)/python -m pytest -q -m realdata

lint: env ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: env ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what tests and builds leave; keeps outputs, multirun, data and .venv
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
