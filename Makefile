# Each target sets up what it needs (.venv, from constraints.txt), then does its job.
.DEFAULT_GOAL := help
.PHONY: help report test lab lint format notebooks clean
PY := .venv/bin/python

# A moved or copied folder has a .venv that points elsewhere: its stamp names another place.
ifneq ($(shell cat .venv/.ready 2>/dev/null),$(CURDIR))
.PHONY: .venv/.ready
endif

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

report: .venv/.ready  ## run the five notebooks and write the report (ARGS="-p start_date 2026-01-01")
	@$(PY) -m helpers run $(ARGS)

test: .venv/.ready  ## all tests, on two cores (ARGS="-k store")
	@$(PY) -m pytest -q -n 2 --dist loadgroup $(ARGS)

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
	  $(PY) -m helpers.batch.kernels notebooks/0*.ipynb; \
	status=$$?; rm -rf $$outputs; exit $$status

clean:  ## remove .venv and caches; outputs stay
	@rm -rf .venv *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +

# pip's lines are many: a count shows that it works, its errors pass through.
.venv/.ready: pyproject.toml constraints.txt
	@python=; for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	  if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then echo "No Python 3.11 or newer found as $(or $(PYTHON),python3)." \
	  "Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; fi; \
	if ! $$python -c 'import venv, ensurepip' 2>/dev/null; then echo "$$python has no venv module." \
	  "Install it (Debian, Ubuntu: apt install python3-venv) and run again." >&2; exit 1; fi; \
	echo "Setting up .venv with $$($$python --version): a few minutes, once."; \
	if [ -s .venv/.ready ] && [ "$$(cat .venv/.ready)" != '$(CURDIR)' ]; then rm -rf .venv; fi; \
	( for n in 1 2 3 4 5 6 7 8 9; do sleep 20 >&- 2>&-; echo "  still setting up ($$((n * 20)) s)"; done ) & \
	trap "kill $$! 2>/dev/null" EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
	$$python -m venv .venv || exit 1; \
	{ $(PY) -m pip install --disable-pip-version-check --progress-bar off \
	    -e '.[test]' -c constraints.txt && echo all-is-installed; } | \
	awk '/^(Collecting|Obtaining)/ && ++n % 30 == 0 {print "  finding packages (" n ")"; fflush()} \
	  /^Installing collected/ {print "  installing them"; fflush()} \
	  /^all-is-installed/ {good = 1} END {exit !good}' || \
	{ echo "Setting up .venv failed; the lines above say why." >&2; exit 1; }; \
	printf '%s' '$(CURDIR)' > .venv/.ready
