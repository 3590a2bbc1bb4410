# The commands of the project; CI calls the same. `make` lists them.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo
INSTALL := $(shell command -v uv >/dev/null && echo "uv pip install --python $(BIN)/python" || echo "$(BIN)/python -m pip install --quiet")

.PHONY: help demo test lint types layers pytest notebooks docs test-slow torture test-installs mutants parity counts benchmark lock clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, $(PYTHON) is older: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-deps -e .
	touch $@

.venv/ready-to-develop: .venv/ready requirements-dev.lock
	$(INSTALL) --require-hashes -r requirements-dev.lock
	touch $@

demo: .venv/ready  ## draw people, make records, train, compare two pairs: under 5 minutes
	@rm -rf $(DEMO)/run $(DEMO)/train.log
	$(BIN)/siamese draw $(DEMO)/mars --people 200 --frames 3
	$(BIN)/python create_tf_record.py --tfrecord_filename mars --dataset_dir $(DEMO)/mars \
	  --validation_size 0.15 --output_dir $(DEMO)/records
	$(BIN)/python train_siamese_network.py --data $(DEMO)/records --recipe demo --run $(DEMO)/run --log $(DEMO)/train.log
	@echo; echo "--- two images of one person, by two cameras"
	$(BIN)/python test_siamese_network.py --model $(DEMO)/run/model.keras --output $(DEMO)/same.png \
	  --img1 notebooks/images/9003C1T0001F005.jpg --img2 notebooks/images/9003C3T0001F001.jpg
	@echo; echo "--- two images of two people"
	$(BIN)/python test_siamese_network.py --model $(DEMO)/run/model.keras --output $(DEMO)/different.png \
	  --img1 notebooks/images/9003C1T0001F005.jpg --img2 notebooks/images/9002C2T0001F001.jpg
	@echo; echo "scores       $(DEMO)/run/scores.json; the training printed Rank-1 before and after"
	@echo "pictures     $(DEMO)/same.png $(DEMO)/different.png $(DEMO)/run/rank_list.png $(DEMO)/run/curves.png"
	@echo "TensorBoard  $(BIN)/tensorboard --logdir $(DEMO)/train.log"

test: lint types layers docs pytest notebooks  ## everything that CI checks: lint, types, layers, docs, tests, notebooks

lint: .venv/ready-to-develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready-to-develop
	$(BIN)/mypy

layers: .venv/ready-to-develop
	$(BIN)/lint-imports

pytest: .venv/ready-to-develop
	$(BIN)/python -m pytest -n 2 --dist loadfile

notebooks: .venv/ready-to-develop  ## run every notebook
	$(BIN)/python -m pytest -n 2 --nbmake --nbmake-timeout=600 -o testpaths= -o addopts= notebooks

docs: .venv/ready-to-develop  ## the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

test-installs: .venv/ready  ## build the wheel and try each extra in an environment of its own: gigabytes
	$(BIN)/python tools/test_installs.py build/installs $(EXTRAS)

test-slow: .venv/ready-to-develop  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

torture: .venv/ready-to-develop  ## 100,000 damaged files of every kind: an hour
	$(BIN)/python tests/hostile.py --inputs 100000

mutants: .venv/ready-to-develop  ## break the code in small ways and count what the tests notice: hours
	$(BIN)/python tests/mutants.py

parity: .venv/ready-to-develop  ## our losses against tensorflow-addons 0.23.0, in an environment of its own
	test -x .venv-addons/bin/python || $(PYTHON) -m venv .venv-addons
	.venv-addons/bin/python -m pip install --quiet tensorflow-cpu==2.15.1 tensorflow-addons==0.23.0 'numpy<2'
	.venv-addons/bin/python tests/goldens/make_addons_goldens.py .venv-addons/fresh.npz
	$(BIN)/python tests/goldens/check_addons_goldens.py .venv-addons/fresh.npz

counts: .venv/ready-to-develop  ## the code counted: lines, repeated names, question-word docstrings, cycles
	$(BIN)/python tools/house_counts.py

benchmark: .venv/ready-to-develop  ## all benchmarks, each prints both sides of its ratio
	for file in benchmarks/*.py; do $(BIN)/python $$file || exit; done

LOCK := build/lock/bin/uv pip compile --quiet --upgrade --universal --generate-hashes --no-annotate --python-version 3.11 \
  --custom-compile-command 'make lock' requirements.txt

lock:  ## the lock files, with hashes, made anew from requirements.txt and pyproject.toml
	test -x build/lock/bin/uv || ($(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv)
	$(LOCK) -o requirements.lock
	$(LOCK) pyproject.toml --extra dev -o requirements-dev.lock

clean:  ## remove what make made, the environment too
	rm -rf .venv .venv-addons notebooks/work $(DEMO) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
