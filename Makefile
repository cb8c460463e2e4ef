# maskcls: make demo and make test set up everything that they need
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
SEEDS ?= 0
BIN := $(VENV)/bin

.PHONY: help env demo study test test-slow test-realdata lint format docs clean

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "variables: PYTHON=$(PYTHON) makes the environment, in VENV=$(VENV); WORKERS=$(WORKERS) processes run the tests;"
	@echo "make study takes ROWS=resnet18_sgd,mycnn_adam, SEEDS=0,1,2 and KEYS='device=cuda data.root=FOLDER'"

env: $(VENV)/.installed ## make the environment; PyTorch and the rest take 6 GB on Linux

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing PyTorch and the rest, some 6 GB on Linux: this takes minutes"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,download]'
	@touch $@

demo: env ## train and evaluate on synthetic faces, two minutes
	@set -e; run=outputs/demo_$$(date +%Y-%m-%d_%H-%M-%S); \
	echo "maskcls-train model=resnet18 optim=sgd experiment=demo hydra.run.dir=$$run"; \
	$(BIN)/maskcls-train model=resnet18 optim=sgd experiment=demo hydra.run.dir=$$run; \
	echo; echo "maskcls-eval ckpt=$$run"; \
	$(BIN)/maskcls-eval ckpt=$$run hydra.run.dir=$${run}_eval; \
	echo; echo "checkpoints   $$run/checkpoints/best.safetensors and last.safetensors"; \
	echo "figures       $$run/metrics.csv, $$run/evaluation/test/metrics.json"; \
	echo "plots         $$run/plots"; \
	echo "on your data  $(BIN)/maskcls-train model=resnet18 optim=sgd data=folder data.root=FOLDER"

study: env ## train the study's rows (ROWS=mycnn_adam,...) on the data in MASKCLS_DATA, and compare; hours without a GPU
	$(BIN)/python scripts/study.py $(if $(ROWS),--rows $(ROWS)) --seeds $(SEEDS) $(KEYS)

test: env ## run the tests and show which branches they cover, three minutes on two cores
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal --cov

test-slow: env ## run the slow tests, among them a few cases of each torture campaign, ten minutes
	$(BIN)/python -m pytest -q -m slow

test-realdata: env ## run the tests on the real images in the folder that MASKCLS_SHARED names
	$(BIN)/python -m pytest -q -m realdata

lint: env ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: env ## format the code, and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: env ## write docs/configuration.md from the configuration files
	$(BIN)/python scripts/configuration_reference.py

clean: ## remove what tests and builds leave, but not outputs, multirun, data and .venv
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
