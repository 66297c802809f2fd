"""The four benchmarks one after another: `python -m suite run`."""
