"""The benchmarks: ``.venv/bin/python -m tests.bench`` (see __main__.py). Ratios of one run, never a timed test."""
