"""Tests start Python several hundred times. Compiling Loa takes as long as a server's start, so bytecode is kept in
`__pycache__`, also if PYTHONDONTWRITEBYTECODE is set, as in many containers."""

import os
import sys

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
