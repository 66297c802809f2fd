# The commands of this project. Each makes the Python environment it needs when that is not there yet: .venv for the
# classic runtime (TensorFlow 1.15 on Python 3.7), .venv-modern or .venv-modern-cpu for the modern one (TensorFlow 2.21).

# One shell per recipe, which stops at the first command that fails.
.ONESHELL:
.SHELLFLAGS := -euc
# A benchmark that runs beside the tests measures the tests.
.NOTPARALLEL:
.PHONY: help bench test doctor clean
export RUNTIME PYTHON PYTHON37

# `make bench` on a machine without a GPU: enough steps to see every script work, in minutes on two cores.
SHORT := --device cpu --batch_size 2 --num_batches 5 --num_steps_burn_in 1

help:
	@cat <<'END'
	make bench                      run the four benchmarks; each writes results-local/NAME.json
	make bench ARGS="--fetch ops"   the same with these flags for every script
	make test                       lint, then tests; needs no GPU
	make doctor                     what GPU, driver and libraries are here, and what would be timed
	make clean                      remove the environments, a Python fetched by make, and caches
	
	Each takes RUNTIME=classic or RUNTIME=modern; without it, what fits this machine. PYTHON37=/path/to/python3.7 and
	PYTHON=/path/to/python3.12 say which Python an environment is made from.
	END

bench:
	@env=$$(sh tools/environment.sh bench)
	set -- $(ARGS)
	if [ $$# -eq 0 ]; then
	    if nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then
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
	    $$env/bin/python $${name}_benchmark.py --json results-local/$$name.json "$$@" || status=$$?
	    if [ $$status -eq 130 ]; then exit 130; fi
	    if [ $$status -ne 0 ]; then failed="$$failed $$name (exit $$status)"; fi
	done
	echo
	if [ "$$failed" ]; then
	    echo "Failed:$$failed" >&2
	    exit 1
	fi
	echo 'All four ran. Results: results-local/'

test:
	@env=$$(sh tools/environment.sh test)
	$$env/bin/python -m ruff check
	$$env/bin/hadolint Dockerfile.cuda
	$$env/bin/shellcheck docker/*.sh tools/*.sh
	$$env/bin/python -m pytest -n 2 --dist loadfile

doctor:
	@env=$$(sh tools/environment.sh bench)
	$$env/bin/python -m common.device

clean:
	rm -rf .venv .venv-modern .venv-modern-cpu .python37 .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
