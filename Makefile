# The commands of this project. Each makes the Python environment it needs when that is not there yet: .venv for the
# classic runtime (TensorFlow 1.15 on Python 3.7), .venv-modern or .venv-modern-cpu for the modern one (TensorFlow 2.21).

# One shell per recipe, which stops at the first command that fails.
.ONESHELL:
.SHELLFLAGS := -euc
# A benchmark that runs beside the tests measures the tests.
.NOTPARALLEL:
.PHONY: help bench test doctor horovod clean
export RUNTIME PYTHON PYTHON37

help:
	@cat <<'END'
	make bench                      run the four benchmarks, into a new folder in results-local/
	make bench ARGS="--variants"    the same with these flags of python -m suite run
	make test                       lint, then tests; needs no GPU
	make doctor                     what GPU, driver and libraries are here, and what would be timed
	make horovod                    add Horovod to the environment of make bench, for more than one process
	make clean                      remove the environments, a Python fetched by make, and caches
	
	Each takes RUNTIME=classic or RUNTIME=modern; without it, what fits this machine. PYTHON37=/path/to/python3.7 and
	PYTHON=/path/to/python3.12 say which Python an environment is made from.
	END

bench:
	@env=$$(sh tools/environment.sh bench)
	exec $$env/bin/python -m suite run $(ARGS)

test:
	@env=$$(sh tools/environment.sh test)
	$$env/bin/python -m ruff check
	$$env/bin/hadolint Dockerfile.cuda
	$$env/bin/shellcheck docker/*.sh tools/*.sh
	$$env/bin/python -m pytest -n 2 --dist loadfile

doctor:
	@env=$$(sh tools/environment.sh bench)
	$$env/bin/python -m suite doctor

horovod:
	@sh tools/horovod.sh

clean:
	rm -rf .venv .venv-modern .venv-modern-cpu .python37 .python37-not-found .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
