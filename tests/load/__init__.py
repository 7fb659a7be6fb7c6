"""Load: `python -m tests.load --help`. Not collected by pytest; `tests/test_load.py` runs its smallest size."""
