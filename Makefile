# make demo: watch a simulated cell inspect parts.  make test: everything that is tested.  Both set themselves up.
.PHONY: demo test test-slow setup schemas clean

demo:
	@tools/setup.sh demo
	@.venv/bin/inspection-cell demo $(ARGS)

test:
	@tools/setup.sh test
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/python -m pytest $(ARGS)

test-slow:
	@tools/setup.sh test
	@.venv/bin/python -m pytest -m slow $(ARGS)

setup:
	@tools/setup.sh test

schemas:
	@.venv/bin/inspection-cell schema --out config/schema

clean:
	rm -rf .venv build install log
