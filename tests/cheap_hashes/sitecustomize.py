"""Cheap password hashes in the servers that tests start: a real one takes 30 ms of processor time.

Every Python process with this folder on PYTHONPATH runs this file; see `running.CHEAP_HASHES`.
"""

import sys
from importlib.machinery import PathFinder

MODULE = "service.accounts.passwords"
TIME_COST = 1
MEMORY_COST = 64


class Finder:
    """Finds that one module, and changes the defaults of its class once it has been imported."""

    def find_spec(self, name, path, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        original = spec.loader.exec_module

        def exec_module(module):
            original(module)
            build = module.Passwords.__init__
            build.__defaults__ = (TIME_COST, MEMORY_COST, *build.__defaults__[2:])

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder())
