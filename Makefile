# Spiral: `make run` and `make test` do all the set-up that they need.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup run compose-env test test-s3 e2e wheels chaos check fmt bench proto release-contract base-model lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := evaluator,attributor,planner,generators-rendered,generators-agentic,quality,trainer,cli,local,dev
TORCH := torch==2.13.0
# An index that carries torch's CPU builds, where the default one serves CUDA builds: `make setup TORCH_INDEX=<index>`.
TORCH_INDEX ?=
BUF_VERSION := 1.75.0
BUF := .tools/node_modules/.bin/buf
LAST_CONTRACT = $(shell ls proto/releases/*.binpb | sort -V | tail -n 1)
# Arguments for `spiral run`: `make run ARGS="--iterations 1"`.
ARGS ?=

export OMP_WAIT_POLICY := PASSIVE
export GOMP_SPINCOUNT := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Make .venv and install everything, pinned by requirements.lock

# Torch goes first and is named again, so that no other requirement replaces it.
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Spiral needs Python 3.11 or newer: make PYTHON=/path/to/python"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock $(TORCH) --editable ".[$(EXTRAS)]"
	@touch $@

run: setup ## Turn the spiral: the main job, live, resumable, with a report at the end
	$(BIN)/spiral run $(ARGS)

compose-env: wheels ## Write .env with random credentials for `docker compose`; what stands in it stays
	@$(PYTHON) -m deploy.compose

test: setup ## Run every test
	$(BIN)/python -m pytest $(ARGS)

# Exit code 3 of the engine's script: this machine runs no containers.
e2e: setup wheels ## Build the images and run the real compose stack to its report (needs a container engine; root on Debian gets one)
	@code=0; .ci/container-engine || code=$$?; case $$code in \
		0) $(BIN)/python -m pytest tests/e2e $(ARGS) ;; \
		3) printf '\n*** END-TO-END TESTS SKIPPED: this machine runs no containers (see above) ***\n\n' >&2 ;; \
		*) exit $$code ;; esac

# The images are Debian's Python 3.11, whatever runs here. torch's wheel is the largest by far, so it is fetched once and kept.
wheels: ## Put torch's wheel where image builds look first: make wheels TORCH_INDEX=<index of CPU builds>
	@ls deploy/wheels/torch-*.whl >/dev/null 2>&1 || { echo "fetching $(TORCH) for the images"; \
		$(PYTHON) -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.11 \
		--platform manylinux_2_28_$$(uname -m | sed s/arm64/aarch64/) --dest deploy/wheels \
		$(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH); } || echo "not fetched: the image builds take $(TORCH) from pip's index"

# Of the user's bucket only keys below spiral-test-... are touched, and they are removed.
test-s3: setup ## Run the store's contract suite on a server of yours: make test-s3 S3_URL=s3://KEY:SECRET@host:port/bucket
	@test -n "$(S3_URL)" || { echo "make test-s3 S3_URL=s3://KEY:SECRET@host:port/bucket (s3+https:// for TLS, ?region=... where it matters)"; exit 2; }
	@SPIRAL_TEST_S3_URL='$(S3_URL)' $(BIN)/python -m pytest tests/contract/test_store.py tests/contract/test_store_s3_faults.py \
		tests/contract/test_artifacts.py -k "s3 or wrong_urls" $(ARGS)

chaos: setup ## Kill every room and the broker at random moments of a small run, ten times over
	SPIRAL_CHAOS_ROUNDS=10 $(BIN)/python -m pytest tests/chaos $(ARGS)

check: setup $(BUF) ## Lint, format check, types, import contracts, generated code, protobuf lint and breaking changes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python proto/generate.py --check
	@if [ -x $(BUF) ]; then set -ex; $(BUF) lint proto; $(BUF) breaking proto --against $(LAST_CONTRACT); \
	else echo "*** buf lint and buf breaking SKIPPED: npm is missing ***" >&2; fi

$(BUF):
	@if command -v npm >/dev/null; then \
		npm install --silent --no-save --no-package-lock --no-audit --no-fund --prefix .tools @bufbuild/buf@$(BUF_VERSION) && touch $(BUF); \
	fi

fmt: setup ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## Measure bus, evaluator and a whole run against their bare counterparts
	$(BIN)/python -m tests.bench $(ARGS)

proto: setup ## Regenerate proto/gen from proto/spiral
	$(BIN)/python proto/generate.py

release-contract: $(BUF) ## Keep the contract of a release, to check later ones against: make release-contract VERSION=v0.3.0
	@[[ "$(VERSION)" =~ ^v[0-9]+\.[0-9]+\.[0-9]+$$ ]] || { echo "name the release: make release-contract VERSION=v0.3.0"; exit 1; }
	@test ! -e proto/releases/$(VERSION).binpb || { echo "$(VERSION) is released: its contract does not change any more"; exit 1; }
	$(BUF) build proto --exclude-source-info --output proto/releases/$(VERSION).binpb

base-model: setup ## Train the shipped tiny base checkpoint anew (seeded; minutes)
	$(BIN)/python -m deploy.local.base_model $(ARGS)

lock: setup ## Write requirements.lock from what .venv holds
	$(BIN)/python -m pip freeze --exclude-editable | sed -E 's/\+cpu$$//' > requirements.lock

clean: ## Remove caches and build leftovers; .venv and .spiral stay
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -not -path './.tools/*' -prune -exec rm -rf {} +
