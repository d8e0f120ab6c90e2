# One word each; CI and people use the same ones.
.PHONY: demo test test-fast test-emulated check format zoo bench docs setup system lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv || echo .uv/bin/uv)
FLEET := $(BIN)/fleet

demo: setup system  ## from a trained model to an audited, rolled-back fleet, on this machine
	$(BIN)/python demo/demo.py

test: setup  ## everything: units, scenarios on the lab, contracts
	@sh demo/system.sh test
	$(BIN)/pytest --numprocesses 2

test-fast: setup  ## the units alone, in seconds
	$(BIN)/pytest tests/unit

test-emulated: setup  ## deploy, prove, audit and roll back on real aarch64 programs, run by an emulator
	@sh demo/system.sh emulated
	$(BIN)/pytest tests/emulated

check: setup  ## style, types, import contracts, generated pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/reference.py --check
	$(BIN)/python docs/devices.py --check

format: setup  ## put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

zoo: setup system  ## models people really have, from source to device; writes docs/zoo.md
	FLEET_ZOO_TABLE=docs/zoo.md $(BIN)/pytest tests/zoo

bench: setup system  ## side by side with the alternatives, in one run
	$(BIN)/python benchmarks/cli/start.py
	$(BIN)/python demo/train.py inventory/demo
	$(BIN)/python benchmarks/build/variants.py $(if $(QUICK),1,3)
	$(BIN)/python benchmarks/build/calibration.py
	$(BIN)/python benchmarks/facts/device_time.py
	$(BIN)/python benchmarks/facts/profile_time.py
	mkdir -p .bench
	$(BIN)/python benchmarks/ssh/run.py $(if $(QUICK),--quick) --json .bench/ssh.json --plot .bench/ssh.svg
	$(BIN)/python benchmarks/ssh/load.py $(if $(QUICK),--devices 100) --json .bench/load.json

docs: setup  ## the generated pages of docs/
	$(BIN)/python docs/reference.py
	$(BIN)/python docs/devices.py

setup: $(VENV)/.ready  ## an environment with exactly the locked packages

$(VENV)/.ready: requirements.lock pyproject.toml
	@command -v $(UV) >/dev/null || { $(PYTHON) -m venv .uv && .uv/bin/pip install --quiet uv; }
	$(UV) venv --quiet --allow-existing --python '>=3.11,<3.14' $(VENV)
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

system:  ## what the lab and the demo need of this machine, installed where that is allowed
	@sh demo/system.sh

lock:  ## choose versions anew from pyproject.toml
	$(UV) pip compile pyproject.toml --all-extras --group dev --universal --upgrade \
	  --generate-hashes --no-header --no-emit-index-url --quiet --output-file requirements.lock

clean:  ## stop the lab and remove what was made here
	-$(FLEET) lab down
	rm -rf .fleet $(VENV) .uv inventory/demo/models inventory/demo/data inventory/demo/fleet.lock
