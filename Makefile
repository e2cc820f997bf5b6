# Each target sets up what it needs (.venv, from constraints.txt), then does its job.
.DEFAULT_GOAL := help
.PHONY: help report test lab lint format notebooks audit clean
PY := .venv/bin/python

# A moved or copied folder has a .venv that points elsewhere: its stamp names another place.
ifneq ($(shell cat .venv/.ready 2>/dev/null),$(CURDIR))
.PHONY: .venv/.ready
endif

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

report: .venv/.ready  ## run the notebooks and write the report (ARGS="-p start_date 2026-01-01")
	@$(PY) -m helpers run $(ARGS)

test: .venv/.ready  ## all tests, on two cores (ARGS="-k store")
	@$(PY) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

# The first layout shows the table of contents; what you rearrange stays in .venv/lab.
LAB := $(CURDIR)/.venv/lab
LAYOUT = $(LAB)/default-37a8.jupyterlab-workspace
lab: .venv/.ready  ## open the notebooks in JupyterLab (ARGS="--no-browser --port 8890")
	@mkdir -p '$(LAB)' && { test -e '$(LAYOUT)' || cp .jupyter/workspace.json '$(LAYOUT)'; }
	@echo 'JupyterLab starts; Ctrl-C here, twice, stops it.'
	@JUPYTER_PREFER_ENV_PATH=1 $(PY) -m jupyter lab --LabApp.app_settings_dir='$(CURDIR)/.jupyter' \
	  --LabApp.workspaces_dir='$(LAB)' --LabApp.extension_manager=readonly \
	  --LabApp.log_level=WARN --ServerApp.log_level=WARN \
	  --LabApp.default_url=/lab/tree/notebooks/01_fetch.ipynb \
	  $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

lint: .venv/.ready  ## style, layers of the package, notebooks hold sandbox outputs only
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && .venv/bin/lint-imports && \
	$(PY) -m pytest -q tests/test_house.py

format: .venv/.ready  ## rewrite the code in the project's style
	@$(PY) -m ruff check --fix --quiet . ; $(PY) -m ruff format .

# No key and no .env: what is committed comes from the sandbox. A fresh folder: nothing is reused.
notebooks: .venv/.ready  ## execute the committed notebooks anew, against the sandbox, in place
	@outputs=$$(mktemp -d) && \
	env -u WISTIA_API_TOKEN -u MAVERA_API_KEY -u WISTIA_BASE_URL -u MAVERA_BASE_URL \
	  VIEWER_PERSONAS_ENV_FILE=/dev/null VIEWER_PERSONAS_OUTPUTS=$$outputs \
	  $(PY) tests/notebooks.py notebooks/0*.ipynb; \
	status=$$?; rm -rf $$outputs; exit $$status

audit: .venv/.ready  ## look up known weaknesses of the dependencies
	@.venv/bin/uv tool run --quiet pip-audit -r constraints.txt --no-deps --disable-pip || \
	  echo 'No answer, or something was found: see above.'

clean:  ## remove .venv and caches; outputs stay
	@rm -rf .venv *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +

# uv, itself from PyPI, sets up in seconds what takes pip minutes.
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell \
  $(name) -c 'import sys, venv, ensurepip; sys.version_info < (3, 11) or print("$(name)")' 2>/dev/null)))
.venv/.ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer with venv was found. Install one (Debian," \
	  "Ubuntu: apt install python3-venv), or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version): about half a minute, once."
	@$(PYTHON) -m venv --clear .venv
	@$(PY) -m pip install --quiet --disable-pip-version-check uv -c constraints.txt
	@.venv/bin/uv pip install --quiet --python $(PY) -e '.[test]' -c constraints.txt
	@printf '%s' '$(CURDIR)' > .venv/.ready
