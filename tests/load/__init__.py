"""The load test: `python -m tests.load --help`. pytest collects nothing here; `tests/test_load.py` runs the smallest
size."""
