"""The load test: `python -m tests.load --help`. `tests/test_load.py` runs its smallest size."""
