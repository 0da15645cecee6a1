# make demo | demo-stream | test | lint | bench | bench-stream | docs: each installs what it needs into .venv first.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2

.DELETE_ON_ERROR:
.PHONY: demo demo-stream test lint bench bench-stream docs clean

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "RTF needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,zoobot]'
	touch $@

# A simulated survey, fingerprints and what they are worth, in one go.
demo: .venv/installed
	$(BIN)/python -m rtf.demo

# A broker, simulated alerts into it, and fingerprints out to a topic and an archive; within minutes.
demo-stream: .venv/installed
	$(BIN)/python -m rtf.stream.demo

test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: .venv/installed
	$(BIN)/python -m pytest -q -s -p no:xdist tests/benchmarks/bench_*.py

# Ten minutes of 300 alerts/s and a burst of 10,000, on two cores.
bench-stream: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.load_stream

docs: .venv/installed
	$(BIN)/python -m pdoc --docformat numpy --output-directory docs rtf '!rtf.conf'

clean:
	rm -rf .venv docs build .pytest_cache .ruff_cache .hypothesis runs/demo data/demo.zarr data/demo-stream
