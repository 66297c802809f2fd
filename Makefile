# The commands of this project. Each makes the Python environment that it needs if it is not there yet: .venv for the
# classic runtime (TensorFlow 1.15 on Python 3.7), .venv-modern or .venv-modern-cpu for the modern one (TensorFlow 2.21).

ifeq ($(filter oneshell,$(.FEATURES)),)
$(error GNU make $(MAKE_VERSION) is too old, as that of macOS is: this needs 3.82 or later. The benchmarks run on Linux)
endif
# One shell per recipe, which stops at the first command that fails.
.ONESHELL:
.SHELLFLAGS := -euc
# A benchmark that runs beside the tests measures the tests.
.NOTPARALLEL:
.PHONY: help bench compare test test-all test-range test-image doctor horovod locks clean
export RUNTIME PYTHON PYTHON37
# $(value ARGS): a $ in it is the shell's, not make's.

help:
	@cat <<'END'
	make bench                      run the four benchmarks, into a new folder in results-local/
	make bench ARGS="--variants"    the same with these flags of python -m suite run
	make compare A=before B=after   compare two folders of results; ARGS="--fail-if-slower 5" is a gate
	make test                       lint, then the quick half of the tests; needs no GPU
	make test-all                   lint, then all tests, on both runtimes
	make test-range                 compare outputs on other TensorFlows, from 1.13 to 2.20 (docs/tensorflow.md); takes an hour
	make test-image                 build the container images on a stand-in base, and run them; needs buildah and podman
	make doctor                     what GPU, driver and libraries are here, and what would be timed
	make horovod                    add Horovod to the environment of make bench, for more than one process
	make locks                      make the locks in requirements/ again from their lists; needs Python 3.11 or later
	make clean                      remove the environments, a Python fetched by make, and caches
	
	Each takes RUNTIME=classic or RUNTIME=modern; without it, what fits this machine (python3 tools/environment.py which).
	PYTHON37=/path/to/python3.7 and PYTHON=/path/to/python3.12 say which Python an environment is made from.
	END

bench:
	@env=$$(python3 tools/environment.py bench)
	exec $$env/bin/python -m suite run $(value ARGS)

# With the Python of whichever environment is there: nothing is built.
compare:
	@for python in .venv/bin/python .venv-modern/bin/python .venv-modern-cpu/bin/python; do
	    if [ -x $$python ]; then exec $$python -m suite compare $(value A) $(value B) $(value ARGS); fi
	done
	echo 'There is no environment yet: make bench makes one.' >&2
	exit 3

define LINT
$$env/bin/python -m ruff check
$$env/bin/hadolint Dockerfile.cuda
$$env/bin/shellcheck docker/*.sh tests/*.sh tools/*.sh
endef

# Each file's tests go to one process, so that a graph which they share is built once.
PYTEST = -m pytest -n 2 --dist loadfile
# What these test is the same on every TensorFlow, so test-all runs them on its first runtime, that of the oldest Python.
ONCE = cautions compare conditions container cost docs gate history house outcome readme references report_page results \
       stats suite_run suite_run_plan suite_run_progress suite_run_summary text

test:
	@env=$$(python3 tools/environment.py test)
	$(LINT)
	$$env/bin/python $(PYTEST)

# The tests of more than one process need Horovod, which needs g++; without it they are skipped. A runtime whose tests
# fail does not keep the other from being tested.
test-all:
	@logs=$$(mktemp -d)
	trap 'rm -rf "$$logs"' EXIT
	runtimes=$${RUNTIME:-classic modern}
	export RUNTIME
	left_out=
	for RUNTIME in $$runtimes; do
	    if command -v g++ >/dev/null; then
	        env=$$(sh tools/horovod.sh test)
	    else
	        echo 'There is no g++ to build Horovod with: the tests of more than one process are skipped.'
	        env=$$(python3 tools/environment.py test)
	    fi
	    $(LINT)
	    echo "pytest on the $$RUNTIME runtime, in $$env"
	    { $$env/bin/python $(PYTEST) -m "" $$left_out && : >"$$logs/$$RUNTIME.passed"; } | tee "$$logs/$$RUNTIME"
	    left_out='$(ONCE:%=--ignore=tests/test_%.py)'
	done
	echo
	for RUNTIME in $$runtimes; do
	    echo "$$RUNTIME: $$(tail -n 1 "$$logs/$$RUNTIME")"
	done
	for RUNTIME in $$runtimes; do
	    test -e "$$logs/$$RUNTIME.passed"
	done

test-range:
	@python3 -m tools.test_range $(value ARGS)

test-image:
	@exec bash tests/image.sh

doctor:
	@env=$$(python3 tools/environment.py bench)
	$$env/bin/python -m suite doctor

horovod:
	@sh tools/horovod.sh >/dev/null

locks:
	@exec python3 -m tools.locks

clean:
	rm -rf .venv .venv-modern .venv-modern-cpu .venv-uv .python37 .python37-not-found .lock .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
