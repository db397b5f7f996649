# Everything a person does with this repository. Each target sets up what it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
STORE ?= auto
LAB ?= $(or $(PODFERRY_LAB),.lab)
HOSTS ?= a,b
MINIO ?= yes
SBOM ?= dist/podferry.cdx.json
PY := .venv/bin/python
RUNTIME_TESTS := tests/unit/runtime $(wildcard tests/contract/test_runtime*.py) tests/contract/test_facts.py $(addprefix \
	tests/integration/test_,$(addsuffix .py,docker_runtime fidelity moments podman_runtime preflight run_options runtime_images))

.PHONY: help demo demo-picture test unit coverage check audit sbom bench bench-plot chaos many soak docs docs-cli images lab-up lab-down lab-status lock clean system python lab-root minio versitygw standins

help: ## Show the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: system python lab-root ## Move a live container between two real Podman hosts (STORE=minio for S3)
	@if [ "$(STORE)" = minio ]; then ops/setup/minio.sh >/dev/null; fi
	@$(PY) ops/demo --dir $(LAB) --store $(STORE)

demo-picture: system python lab-root ## Draw docs/demo.svg from a run of the demo
	@FORCE_COLOR=1 TTY_INTERACTIVE=0 $(PY) ops/demo --dir $(LAB) --store $(STORE) 2>&1 | $(PY) ops/demo/capture.py docs/demo.svg

test: system python lab-root minio versitygw standins ## Run every test (needs root); AGAIN=yes: what failed once more, by itself
	@$(PY) -m pytest || { [ $$? = 1 ] && [ "$(AGAIN)" = yes ] && $(PY) -m pytest --last-failed --last-failed-no-failures none; }

unit: python ## Run the unit tests: no root, no server, no network
	@$(PY) -m pytest tests/unit

coverage: system python lab-root ## Lines of runtime/ that its own tests run, at least 90 % (needs root)
	@$(PY) -m coverage run -m pytest $(RUNTIME_TESTS)
	@$(PY) -m coverage report

check: python ## Lint, format, types, layers, known vulnerabilities
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m mypy ops/lab
	@$(PY) -m mypy ops/demo
	@$(PY) -m mypy ops/dependencies
	@.venv/bin/lint-imports
	@$(PY) ops/dependencies sbom $(SBOM)
	@$(PY) ops/dependencies audit $(AUDIT)

audit: python ## Known vulnerabilities of what is pinned (AUDIT="--osv-url URL": of that server, not PyPI's)
	@$(PY) ops/dependencies audit $(AUDIT)

sbom: python ## Write what is pinned as CycloneDX JSON (SBOM=dist/podferry.cdx.json)
	@$(PY) ops/dependencies sbom $(SBOM)

bench: system python lab-root minio ## Measure it beside what one would type instead (BENCH="--only moves --sizes 64 --runs 3")
	@ops/setup/mc.sh >/dev/null
	@$(PY) -m tests.bench $(BENCH)

bench-plot: python ## Write docs/bench.md and docs/bench.svg from the last run's report
	@$(PY) -m tests.bench --write-docs

chaos: system python lab-root minio ## Kill, freeze and cut off everything in every step of a move; writes docs/chaos.md
	@$(PY) -m tests.chaos $(CHAOS)

many: system python ## Move 100 containers twice while workers are killed, and write docs/many.md (MANY="--seed 3")
	@$(PY) -m tests.many $(MANY)

docs: python ## Build the documents as a site in .site; every link must lead somewhere
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

docs-cli: python ## Write docs/cli.md from the commands themselves
	@$(PY) -m tests.acceptance.reference

soak: system python ## Drain 100 of 1,000 fake hosts, and write docs/soak.md (SOAK="--hosts 20 --workloads 400": one size only)
	@$(PY) -m tests.soak $(SOAK)

images: ## Build the images of docker-compose.yml and ops/quadlet (ENGINE=docker or podman)
	@ops/images/build.sh

lab-up: system lab-root ## Bring up the lab: hosts (HOSTS=a,b), a hub with Redis and (MINIO=yes) MinIO
	@if [ "$(MINIO)" = yes ]; then ops/setup/minio.sh >/dev/null; fi
	@python3 ops/lab up --dir $(LAB) --hosts $(HOSTS) --minio $(MINIO)
	@python3 ops/lab status --dir $(LAB)

lab-down: ## Take the lab down, leaving no trace of it
	@python3 ops/lab down --dir $(LAB)

lab-status: ## Show the lab's nodes
	@python3 ops/lab status --dir $(LAB)

lock: python ## Pin the newest versions of all dependencies
	@$$(ops/setup/uv.sh) pip compile pyproject.toml --group dev --universal --upgrade --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --quiet -o requirements.lock
	@$$(ops/setup/uv.sh) pip compile pyproject.toml --group image --universal --generate-hashes --constraint requirements.lock \
		--no-emit-index-url --no-header --no-annotate --quiet -o ops/images/podferry/requirements.lock

clean: lab-down ## Take the lab down and remove everything that was made here
	@rm -rf .venv .site dist $(LAB) .lab-bench .lab-soak .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	@find podferry runtime storage tasks workers -name __pycache__ -exec rm -r {} +

system:
	@ops/setup/system.sh

python:
	@ops/setup/python.sh

lab-root:
	@ops/setup/rootfs.sh >/dev/null

minio:
	@ops/setup/minio.sh >/dev/null

versitygw:
	@ops/setup/versitygw.sh >/dev/null

standins:
	@ops/setup/mc.sh >/dev/null
	@ops/setup/wheels.sh >/dev/null
	@ops/setup/debian.sh >/dev/null
