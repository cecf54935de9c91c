# Two commands on a bare machine: `make run` does the main job, `make test` passes the tests.
PYTHON ?= python3
PRESET ?= quick
OUT ?= outputs/$(PRESET)
# data/ where it holds Train/Image, else phantoms; or a folder, isic2016, kaggle:SLUG
DATA ?= $(if $(wildcard data/[Tt][Rr][Aa][Ii][Nn]*/[Ii][Mm][Aa][Gg][Ee]*),data,phantoms)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: run test slow bench lab lint clean

run: .venv/.run
	$(BIN)/seglib run --data "$(DATA)" --out "$(OUT)" --preset "$(PRESET)" $(ARGS)

# A file of tests stays in one process, as its tests share what they train.
test: .venv/.test lint
	$(BIN)/pytest -q -m "not slow" -n logical --maxprocesses 4 --dist loadfile

slow: .venv/.test
	$(BIN)/pytest -q -m slow

# On an idle machine; what was measured before on this revision is not measured again.
bench: .venv/.test
	$(BIN)/python benchmarks/speed.py --data "$(DATA)" --out outputs/bench --table results/speed.md $(ARGS)

lint: .venv/.test
	$(BIN)/ruff check -q .
	$(BIN)/ruff format -q --check .

lab: .venv/.lab
	$(BIN)/jupyter lab --notebook-dir=.

.venv/bin/python:
	$(PYTHON) -m venv .venv

# One stamp per set of packages, made anew when what it was made from changes.
.venv/.run: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e ".[encoders]"
	touch $@

.venv/.test: .venv/.run
	$(PIP) -e ".[encoders,grid,kaggle,test]"
	touch $@

.venv/.lab: .venv/.run
	$(PIP) -e ".[encoders,lab]"
	$(BIN)/jupyter labextension disable "@jupyterlab/apputils-extension:announcements" # it asks the network for news
	touch $@

clean:
	rm -rf .venv
