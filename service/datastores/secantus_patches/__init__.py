"""Replacements of functions of SecantusDB that do more than they have to with each command.

Workarounds (SecantusDB 0.7). `apply` replaces functions of SecantusDB and WiredTiger; only the process of the embedded
MongoDB calls it.
"""

import sys
from functools import lru_cache
from typing import Any

import wiredtiger
from secantus import commands, projection, query, server, sortkey, storage
from secantus import transactions as secantus_transactions
from secantus import update as secantus_update
from secantus.storage import Storage

from service.datastores.secantus_patches.changes import first_change_since
from service.datastores.secantus_patches.copies import copying
from service.datastores.secantus_patches.definitions import collection_options, iterate_indexes, mark_multikey
from service.datastores.secantus_patches.entries import (
    insert_chunk,
    unique_conflict,
    validate_geo_indexes,
    write_index_entries,
)
from service.datastores.secantus_patches.expiry import create_index, delete_all_expired, delete_expired
from service.datastores.secantus_patches.lookups import (
    implies_partial,
    pick_compound_index,
    range_scan_index,
    record_ids,
)
from service.datastores.secantus_patches.matching import match_clause, op_matches
from service.datastores.secantus_patches.packing import pack, unpack
from service.datastores.secantus_patches.snapshots import dispatch
from service.datastores.secantus_patches.sorting import sort_documents
from service.datastores.secantus_patches.transactions import (
    batch_transaction,
    create_indexes_together,
    refresh_read_snapshot,
    update_together,
)
from service.datastores.secantus_patches.updates import delete_index_entries, update
from service.datastores.secantus_patches.walks import find_matching


def record_nothing(*_: object) -> None:
    """Replace the profiler. It is off, but reads from storage with every command whether it is."""


def apply() -> None:
    """Replace the functions."""
    replaced: dict[Any, dict[str, Any]] = {
        sys.modules[wiredtiger.Cursor.__module__]: {"pack": pack, "unpack": unpack},
        commands: {"_maybe_record_profile": record_nothing},
        projection: {"copy": copying},
        query: {"_match_clause": match_clause, "_op_matches": op_matches},
        secantus_transactions: {"copy": copying},
        secantus_update: {"copy": copying},
        server: {"dispatch": dispatch},
        sortkey: {"_encode_number": lru_cache(maxsize=4096, typed=True)(sortkey._encode_number)},
        storage: {"_doc_changed": update.begin, "sort_docs": sort_documents},
        Storage: {
            "_iter_indexes": iterate_indexes,
            "_batch_transaction": batch_transaction,
            "_refresh_read_snapshot": refresh_read_snapshot,
            "_maybe_mark_multikey": mark_multikey,
            "_coll_options": collection_options,
            "_insert_chunk": insert_chunk,
            "_unique_conflict": unique_conflict,
            "_validate_geo_indexes": validate_geo_indexes,
            "_write_index_entries": write_index_entries,
            "_delete_index_entries": delete_index_entries,
            "_try_index_id_keys": record_ids,
            "_range_scan_index": range_scan_index,
            "find_matching": find_matching,
            "_query_implies_partial": staticmethod(implies_partial),
            "_pick_compound_eq_index": pick_compound_index,
            "create_index": create_index,
            "prune_ttl": delete_expired,
            "prune_ttl_all_collections": delete_all_expired,
            "_find_seq_for_ts_scan": first_change_since,
        },
    }
    for owner, functions in replaced.items():
        for name, function in functions.items():
            if not hasattr(owner, name):
                raise AttributeError(f"{owner.__name__} has no {name}: is this another version of SecantusDB?")
            setattr(owner, name, function)
    commands._HANDLERS |= {"update": update_together, "createIndexes": create_indexes_together}
