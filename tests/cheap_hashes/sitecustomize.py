"""Runs in the servers that tests start: makes their password hashes and their embedded database's commits cheap, leaves
out imports and searches that no test needs, and checks the commands to the database.

A real hash takes 30 ms of processor time, and a write that waits for the disk twice as much as one that does not. Every
Python process with this folder on PYTHONPATH runs this file; see `running.CHEAP_HASHES`.
"""

import sys
from importlib.machinery import PathFinder

TIME_COST = 1
MEMORY_COST = 64
GOOD_PASSWORDS = ("correct horse", "Passwort-Kennzeichen")
"""How the passwords of the tests' users begin."""


def make_hashes_cheap(module):
    build = module.Passwords.__init__
    build.__defaults__ = (TIME_COST, MEMORY_COST, *build.__defaults__[2:])


def accept_good_passwords(module):
    """Do not search the dictionaries of common passwords for these: a worker loads them for 100 ms."""
    weakness = module.weakness
    module.weakness = lambda password, username: (
        None if password.startswith(GOOD_PASSWORDS) else weakness(password, username)
    )


def check_shard_keys(module):
    from tests.running import MARK
    from tests.shard_keys import register

    register(lambda problem: print(MARK, problem, file=sys.stderr, flush=True))


def skip_fsync(module):
    """Let each commit be in the journal's file, so that it outlives a kill -9, but not wait for the disk."""
    open_database, commit = module.wt.wiredtiger_open, module._commit_batch_transaction
    module.wt.wiredtiger_open = lambda home, config: open_database(home, config.replace("method=fsync", "method=none"))
    module._commit_batch_transaction = lambda session, sync: commit(session, False)


CHANGES = {
    "secantus.storage": skip_fsync,
    "service.accounts.password_strength": accept_good_passwords,
    "service.accounts.passwords": make_hashes_cheap,
    "service.datastores.mongo": check_shard_keys,
}


class Finder:
    """Finds those modules, and calls the function of each once it has been imported."""

    def find_spec(self, name, path, target=None):
        change = CHANGES.pop(name, None)
        if change is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        original = spec.loader.exec_module

        def exec_module(module):
            original(module)
            change(module)

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder())
# structlog would import it, for 20 ms. It is not installed where Loa runs, but the packages of the tests need it.
sys.modules["rich"] = None
