# The commands of this project. Each makes the Python 3.7 environment .venv when it is not there yet.

# One shell per recipe, which stops at the first command that fails.
.ONESHELL:
.SHELLFLAGS := -euc
# A benchmark that runs beside the tests measures the tests.
.NOTPARALLEL:
.PHONY: help bench test clean

# `make bench` on a machine without a GPU: enough steps to see every script work, in minutes on two cores.
SHORT := --batch_size 2 --num_batches 5 --num_steps_burn_in 1

help:
	@cat <<'END'
	make bench                      run the four benchmarks; each writes results-local/NAME.json
	make bench ARGS="--fetch ops"   the same with these flags for every script
	make test                       lint, then tests; needs no GPU
	make clean                      remove .venv, .python37 (a Python fetched by make) and caches
	
	The first bench or test makes .venv. PYTHON37=/path/to/python3.7 says which Python to make it from.
	END

bench: .venv/requirements.lock
	@set -- $(ARGS)
	if [ $$# -eq 0 ]; then
	    if nvidia-smi -L 2>/dev/null | grep -q '^GPU ' ||
	            { [ -e /proc/driver/nvidia/version ] && [ -e /dev/nvidia0 ]; }; then
	        echo 'NVIDIA GPU found: the full protocol.'
	    else
	        echo 'No NVIDIA GPU found: a short run on the CPU ($(SHORT)).'
	        echo 'Its times say that the scripts work, not how fast they are.'
	        set -- $(SHORT)
	    fi
	fi
	mkdir -p results-local
	# A script that is interrupted exits 130 by itself, so the loop has to be told.
	trap 'exit 130' INT
	failed=
	for name in alexnet vgg16 inception_v3 resnet_v2; do
	    printf '\n%s\n' "$${name}_benchmark.py $$*"
	    rm -f results-local/$$name.json
	    status=0
	    .venv/bin/python $${name}_benchmark.py --json results-local/$$name.json "$$@" || status=$$?
	    if [ $$status -eq 130 ]; then exit 130; fi
	    if [ $$status -ne 0 ]; then failed="$$failed $$name (exit $$status)"; fi
	done
	echo
	if [ "$$failed" ]; then
	    echo "Failed:$$failed" >&2
	    exit 1
	fi
	echo 'All four ran. Results: results-local/'

test: .venv/requirements.lock
	@.venv/bin/python -m ruff check
	.venv/bin/python -m pytest -n 2 tests

clean:
	rm -rf .venv .python37 .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# The environment is good if its Python runs and it was made from the lock that is here now. The copy of the lock is
# written last, so an environment whose making was cut short has none and is made again.
ifneq ($(shell { .venv/bin/python -c '' && cmp -s requirements.lock .venv/requirements.lock && echo good; } 2>/dev/null),good)
.PHONY: .venv/requirements.lock
endif

.venv/requirements.lock:
	@rm -rf .venv
	python37=$$(sh tools/find_python37.sh)
	echo 'Installing TensorFlow 1.15 and the rest of requirements.lock into .venv (about 420 MB to download, once) ...'
	"$$python37" -m venv .venv
	quiet='-qq'
	if [ -t 1 ]; then quiet=; fi
	.venv/bin/python -m pip install --disable-pip-version-check $$quiet --require-hashes -r requirements.lock || {
	    echo 'pip could not install requirements.lock; its reason is above. If it found no network: connect, or name a' >&2
	    echo 'mirror in PIP_INDEX_URL. Then give the same command again; downloads that finished are kept.' >&2
	    exit 1
	}
	cp requirements.lock .venv/requirements.lock
