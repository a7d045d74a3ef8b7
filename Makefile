# The course in two commands: `make lab` and `make test`. Both set everything up first, in .venv.
PYTHON ?= python3
UV_VERSION := 0.13.8
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
READY := .venv/.ready

.PHONY: lab test check notebooks lock

lab: $(READY)  ## open the course in JupyterLab (make lab ARGS="--no-browser --port 8899")
	cd notebooks && ../$(BIN)/jupyter lab $(ARGS)

test: $(READY)  ## everything: lint, tests, and every notebook run again
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/python -m pytest tests
	$(BIN)/python -m pytest --nbval-lax --nbval-cell-timeout=120 --nbval-sanitize-with tests/nbval.cfg notebooks/[0-9]*.ipynb

check: $(READY)  ## lint and all tests but the slow ones, about ten minutes
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/python -m pytest tests -m "not slow"

notebooks: $(READY)  ## make notebooks/*.ipynb from notebooks/sources/*.py where the source has changed (ARGS=--all for all)
	$(BIN)/python notebooks/sources/make.py $(ARGS)

lock: $(READY)  ## newest versions that pyproject.toml allows
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra dev --no-header \
		--upgrade pyproject.toml -o requirements.lock
	$(BIN)/python .ci/environment.py

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "The course needs Python 3.11, 3.12 or 3.13; say which: make lab PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip sync --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	$(BIN)/python -m ipykernel install --sys-prefix --name python3 --display-name "Python 3 (t2i_course)"
	$(BIN)/jupyter labextension disable --level=sys_prefix "@jupyterlab/apputils-extension:announcements"  # asks the network
	@touch $(READY)
