# Needs Python 3.11 or later and make; everything else is fetched into .venv from uv.lock.
#   make demo   a real grocery year becomes cashback, with proof     make up     run it on this machine
#   make test   all tests      make check   lint, types, imports     make bench  how fast it is
#   make simulate, torture, mutants: the long proofs, see ARCHITECTURE.md
# Arguments go through ARGS: make demo ARGS="--households all"

.PHONY: demo test check bench up torture .venv simulate mutants
.DEFAULT_GOAL := demo

demo up bench torture: .venv
	@.venv/bin/cashback $@ $(ARGS)

test: .venv
	@.venv/bin/pytest -n 2 --dist loadfile $(ARGS)

simulate: .venv
	@.venv/bin/cashback simulation --histories $(or $(N),10000) --from-seed $(or $(SEED),0) --jobs $(or $(JOBS),1)

mutants: .venv
	@.venv/bin/python -m tests.mutants $(ARGS)

check: .venv
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

.venv: .venv/.complete

# Rebuilt when the lock file, the project or the compiled codec changes; PYTHON=… chooses the interpreter.
.venv/.complete: uv.lock pyproject.toml setup.py schemas/compiled/codec.pyx ops/environment.sh
	@PYTHON="$(PYTHON)" sh ops/environment.sh
	@touch $@
