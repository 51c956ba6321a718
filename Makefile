# make demo   the whole system on this machine, nothing attached
# make test   every test
# Both set everything up first, in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints/$(shell $(PYTHON) -c 'import sys; print(f"py31{min(sys.version_info.minor, 12) - 10}")').txt
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)

.PHONY: demo test soak rates fuzz benchmarks lint types contracts check clean

demo: $(VENV)/.runtime
	$(BIN)/edge-wbc demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest

soak: $(VENV)/.dev
	$(BIN)/python -m tests.firmware_bridge.firmware.soak $(SOAK)

rates: $(VENV)/.dev
	$(BIN)/python -m tests.firmware_bridge.firmware.rates $(RATES)

# 100 million: make fuzz FUZZ="-runs=100000000 -max_len=256"
FUZZ ?= -max_total_time=60 -max_len=256
fuzz:
	$(MAKE) -s -C firmware_bridge/firmware fuzz
	firmware_bridge/firmware/build/host/fuzz -print_final_stats=1 -artifact_prefix=firmware_bridge/firmware/build/ $(FUZZ)

# make benchmarks MACHINE=orin-nano-25w FRAMES=FOLDER: your own machine, your own photographs
MACHINE ?= this-machine
SHOWN := docs/benchmarks/$(MACHINE)
# A row that failed, or a bar that was missed, is told and shown all the same.
benchmarks: $(VENV)/.dev
	rm -f $(SHOWN)-engine.json $(SHOWN)-roofline.json $(SHOWN)-pipeline.json
	$(BIN)/edge-wbc bench engine --out $(SHOWN)-engine.json || test -s $(SHOWN)-engine.json
	$(BIN)/edge-wbc bench roofline --out $(SHOWN)-roofline.json
	$(BIN)/edge-wbc bench pipeline $(addprefix --frames ,$(FRAMES)) --out $(SHOWN)-pipeline.json || test -s $(SHOWN)-pipeline.json
	$(BIN)/edge-wbc bench report $(SHOWN)-*.json --page $(SHOWN).html --markdown $(SHOWN).md

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

contracts: $(VENV)/.dev
	$(BIN)/lint-imports

check: lint types contracts test

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.runtime: $(VENV)/.made pyproject.toml $(CONSTRAINTS)
	$(PIP) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(PIP) -e '.[train,export,web,dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist out *.egg-info
