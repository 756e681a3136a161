"""crdtstore: a collaborative customer-profile store that converges without a central arbiter."""

from crdtstore.client import Client, SyncClient
from crdtstore.engine.conflicts import Conflict, WriteStamp
from crdtstore.engine.digests import StoreDigest
from crdtstore.engine.feed import Change, ElementChange, TouchedPerson
from crdtstore.engine.persons import Person
from crdtstore.engine.querying import QueryCount, QueryPage, QueryPlan
from crdtstore.engine.text_fields import TextEdit
from crdtstore.engine.verification import VerifyReport
from crdtstore.engine.writes import Write, WriteResult
from crdtstore.errors import CrdtstoreError
from crdtstore.identity_rules import IdentityRules, TypeRules
from crdtstore.links.repairing import RepairReport
from crdtstore.model.candidates import Candidate
from crdtstore.model.identifiers import identifier
from crdtstore.model.operations import (
    add,
    decrement,
    delete_items,
    delete_text,
    edit_list,
    edit_set,
    edit_text,
    fold_in,
    format_text,
    grant,
    increment,
    insert_items,
    insert_text,
    move_item,
    remove,
    revoke,
    set_value,
)
from crdtstore.model.profile import Profile
from crdtstore.model.traits import trait_at
from crdtstore.query.refusals import InvalidFilter, QueryTooBroad
from crdtstore.replica.exporting import ExportProgress, export_store
from crdtstore.replica.replica import Replica
from crdtstore.replica.status import PeerStatus, ReplicaStatus
from crdtstore.schema import Field, Group, Schema
from crdtstore.settings import Settings
from crdtstore.store import Store

__all__ = [
    "Candidate",
    "Change",
    "Client",
    "Conflict",
    "CrdtstoreError",
    "ElementChange",
    "ExportProgress",
    "Field",
    "Group",
    "IdentityRules",
    "InvalidFilter",
    "PeerStatus",
    "Person",
    "Profile",
    "QueryCount",
    "QueryPage",
    "QueryPlan",
    "QueryTooBroad",
    "RepairReport",
    "Replica",
    "ReplicaStatus",
    "Schema",
    "Settings",
    "Store",
    "StoreDigest",
    "SyncClient",
    "TextEdit",
    "TouchedPerson",
    "TypeRules",
    "VerifyReport",
    "Write",
    "WriteResult",
    "WriteStamp",
    "add",
    "decrement",
    "delete_items",
    "delete_text",
    "edit_list",
    "edit_set",
    "edit_text",
    "export_store",
    "fold_in",
    "format_text",
    "grant",
    "identifier",
    "increment",
    "insert_items",
    "insert_text",
    "move_item",
    "remove",
    "revoke",
    "set_value",
    "trait_at",
]
