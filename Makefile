# Set-up, demo and checks. Needs Python 3.11 to 3.13 and make; everything else comes into .venv.

PYTHON ?= python3
BIN := .venv/bin
DEMO := data/demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-all attack fuzz gpu gpu-dry gpu-pack check docs format lock sbom clean

help:
	@echo "make setup   install the pinned packages into .venv"
	@echo "make demo    set up, then synthesise recordings, train, export, predict"
	@echo "make test    set up, then check format, lint, types, import rules, and run the tests"
	@echo "make test-all  the same, then the tests that are slow by nature"
	@echo "make attack  attack a service with all hostile requests of tests/security (10 minutes)"
	@echo "make fuzz    fuzz every parser, and a service with 33,000 bodies (20 minutes); SEED=, TARGET=, CASE= and REPLAY= repeat"
	@echo "make gpu     measure the GPU path on this machine's NVIDIA GPU (8 minutes): data/gpu/report.md"
	@echo "make gpu-dry   the same steps without a GPU, on a fake of its provider (2 minutes)"
	@echo "make gpu-pack  an archive that does it on a machine with torch and without a network"
	@echo "make check   what make test runs, without the set-up"
	@echo "make docs    build the documentation site into build/site; a dead link is an error"
	@echo "make format  format the code"
	@echo "make lock    pin the packages anew, and list them in sbom/"

setup: .venv/ready

# The virtual environment is made anew when it is not there, and brought up to date when the lock changed.
.venv/ready: requirements.lock requirements.speech.lock requirements.uv.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.uv.lock
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements.speech.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

demo: setup
	rm -rf $(DEMO) runs/demo bundles/demo predictions.csv
	$(BIN)/emotions data demo $(DEMO)
	$(BIN)/emotions train configs/demo.config.json
	@echo
	@echo "The voices are synthetic: the figures show that everything works, and say nothing about speech."
	@echo "What came out, in a sentence and pictures: $(CURDIR)/runs/demo/report.html"
	@echo
	@echo "Next:"
	@echo "  classify a recording                $(BIN)/emotions predict $(DEMO)/angry/01_s1_1.wav"
	@echo "  serve the bundle                   $(BIN)/emotions serve"
	@echo "  ask the service                    curl -F file=@$(DEMO)/angry/01_s1_1.wav http://127.0.0.1:3000/v1/predict"
	@echo "  check your recordings              $(BIN)/emotions data check FOLDER"
	@echo "  train on them                      $(BIN)/emotions init FOLDER"

test: setup check

test-slow: setup
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --durations 40 -m "slow and not alone"
	$(BIN)/python -m pytest -m "slow and alone" tests/security

attack: setup
	EMOTIONS_CASES= $(BIN)/python -m pytest -s -m "slow and alone" tests/security

# On the command line: SEED, TARGET, CASES, BODIES, JSON, CASE, REPLAY, KEPT; see tests/security/fuzz/__main__.py.
fuzz: setup
	$(BIN)/python -W error -m tests.security.fuzz

# Not after setup: the machine with the GPU may have no network. PYTHON names what has the packages where .venv is not.
GPU := $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m benchmarks.gpu

gpu:
	$(GPU) run

gpu-dry: setup
	$(GPU) run --dry --output data/gpu-dry

gpu-pack: setup
	$(GPU) pack

test-all: test test-slow

check:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not alone and not slow"
	$(BIN)/python -m pytest -m alone tests/serving/benchmark

docs: setup
	$(BIN)/python -m docs.site

format:
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock:
	$(LOCK) --extra train --extra export --extra serve --extra dev --output-file requirements.lock pyproject.toml
	$(LOCK) --extra serve --output-file requirements.serve.lock pyproject.toml
	$(LOCK) --extra serve-gpu --output-file requirements.serve-gpu.lock pyproject.toml
	echo uv | $(LOCK) --output-file requirements.uv.lock -
	echo silero-vad==6.2.3 | $(LOCK) --no-deps --output-file requirements.speech.lock -
	echo jupyterlab | $(LOCK) --constraints requirements.lock --output-file requirements.notebook.lock -
	$(MAKE) sbom

CYCLONEDX := 'cyclonedx-python-lib[json-validation]==11.12.0'
sbom:
	$(BIN)/uvx --quiet --python $(BIN)/python --from $(CYCLONEDX) \
	  python -W ignore::UserWarning sbom/generate.py .venv/lib/python3*/site-packages requirements*.lock

clean:
	rm -rf .venv bundles runs predictions.* $(DEMO)
