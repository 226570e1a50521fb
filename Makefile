# Two commands do all the set-up: `make call` and `make test`.
# uv is bootstrapped by pip where it is missing. PYTHON picks the interpreter (3.11 or 3.12).

UV_PYTHON_DOWNLOADS := never
export UV_PYTHON_DOWNLOADS
PYTHON ?= python3
VENV ?= .venv
export UV_PROJECT_ENVIRONMENT = $(VENV)
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(VENV)/bin
CALL ?=
# Tests wait more than they compute, so there are more of them at once than cores.
WORKERS ?= 4

.PHONY: help call serve test test-all test-worker test-container lint types unit quick fuzz bench-plugins bench-load bench-turns bench-turns-quick clean

help:  ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/pip install -q uv

$(VENV)/.ready: $(if $(filter .uv/bin/uv,$(UV)),.uv/bin/uv) pyproject.toml core/pyproject.toml $(wildcard plugins/*/pyproject.toml)
	$(UV) sync -q --python $(PYTHON)
	@touch $@

call: $(VENV)/.ready  ## hold a phone call here: no key, no network
	$(RUN)/tipring call --out calls $(CALL)

serve: $(VENV)/.ready  ## answer the phone with tipring.toml
	$(RUN)/tipring serve

lint: $(VENV)/.ready
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/hadolint Dockerfile

types: $(VENV)/.ready
	$(RUN)/mypy

# A model server that nobody here wrote; on its own, for it would bring a pytest plugin along.
LLMOCK ?= $(CURDIR)/.cache/llmock/bin/llmock
export LLMOCK

$(CURDIR)/.cache/llmock/bin/llmock: | $(VENV)/.ready
	$(UV) venv -q --clear --python $(VENV)/bin/python .cache/llmock
	$(UV) pip install -q --no-config --python .cache/llmock/bin/python llmock==0.2.2

unit: $(VENV)/.ready $(LLMOCK)
	TIPRING_FUZZ=2000 $(RUN)/pytest -q tests/turns/test_fuzz.py
	$(RUN)/pytest -q -n $(WORKERS) --dist loadfile -m "not line" --ignore tests/worker --ignore tests/container --ignore tests/turns/test_fuzz.py $(PYTEST)
	$(RUN)/pytest -q -m line $(PYTEST)

quick: $(VENV)/.ready  ## what runs in memory and on loopback within minutes
	$(RUN)/pytest -q -n $(WORKERS) --dist loadfile -m "not line and not slow" --ignore tests/contracts --ignore tests/worker --ignore tests/container $(PYTEST)

fuzz: $(VENV)/.ready  ## many more random calls than the tests play
	$(RUN)/python -m tests.turns.fuzz 20000

worker/node_modules/.ready: worker/package.json worker/package-lock.json
	cd worker && npm ci --no-audit --no-fund
	@touch $@

test-worker: $(VENV)/.ready worker/node_modules/.ready  ## the Worker, in real workerd
	cd worker && npm run types
	$(RUN)/pytest -q tests/worker

test-container: $(VENV)/.ready worker/node_modules/.ready  ## the image, in a real Docker engine, and behind wrangler dev
	$(RUN)/pytest -q -rP tests/container

test: lint types unit  ## lint, types and every test

test-all:  ## make test, and the tests again on every other supported Python of this machine
	@.ci/pythons

bench-plugins: $(VENV)/.ready  ## how long tipring plugins takes with 200 distributions installed
	$(RUN)/python -m bench.plugins.listing

LOAD ?=

bench-load: $(VENV)/.ready  ## what a core holds, beside plain Pipecat; twenty minutes; LOAD="--quick" for five
	$(RUN)/python -m bench.load $(LOAD)

BENCH_VENV ?= .venv-bench
BENCH ?=

$(BENCH_VENV)/.ready: $(if $(filter .uv/bin/uv,$(UV)),.uv/bin/uv) pyproject.toml core/pyproject.toml $(wildcard plugins/*/pyproject.toml)
	UV_PROJECT_ENVIRONMENT=$(BENCH_VENV) $(UV) sync -q --python $(PYTHON) --group bench
	@touch $@

bench-turns: $(BENCH_VENV)/.ready  ## who speaks when, beside Pipecat, livekit-agents and an oracle
	$(BENCH_VENV)/bin/python -m bench.turns $(BENCH)

bench-turns-quick: $(VENV)/.ready  ## tipring and Pipecat, 60 events; fails only when a call breaks
	$(RUN)/python -m bench.turns --quick --out .cache/bench-turns-quick $(BENCH)

clean:  ## remove what make made
	rm -rf .venv* .uv calls
