# Everything starts from a bare Python and make: `make demo` shows it, `make test` is what CI runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test check format clean

help: ## Say what can be made.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# One stamp per set of extras, renewed when the requirements change.
$(VENV)/.installed-%: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing kwsbench[$*] into $(VENV) ..."
	$(PIP) -e '.[$*]'
	@touch $@

demo: $(VENV)/.installed-demo ## From a fresh clone to scores: synthesise, prepare, train, predict, score.
	$(BIN)/kwsbench data synth espeak_12
	$(BIN)/kwsbench data prepare espeak_12
	$(BIN)/kwsbench train mfcc_lightgbm --manifest espeak_12
	$(BIN)/kwsbench predict models/espeak_12/mfcc_lightgbm.txt --manifest espeak_12 --split test -o preds.csv
	$(BIN)/kwsbench score preds.csv --plots
	@echo
	@echo "Look at scores/preds/: summary.csv, per_keyword.csv, confusion.png, det.png."
	@echo "Then try other data:   $(BIN)/kwsbench data list"
	@echo "or your own audio:     $(BIN)/kwsbench predict models/espeak_12/mfcc_lightgbm.txt FOLDER -o mine.csv"

test: $(VENV)/.installed-test ## Run the tests, what CI runs.
	@$(BIN)/python -c "from kwsbench.sandbox import unavailable_reason as why; why() and print('The tests of the sandbox cannot run:', why())"
	$(BIN)/python -m pytest -n 2 -q $(PYTEST_ARGS)

check: $(VENV)/.installed-dev ## Format, lint, types, import contract, then the tests.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 -q $(PYTEST_ARGS)

format: $(VENV)/.installed-dev ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove what can be made again; data and models stay.
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
