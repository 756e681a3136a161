"""Whole networks in lockstep: whatever happens, replicas end equal and keep their promises."""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from crdtstore import limits
from crdtstore.engine.ledger import ADOPTION_MAGIC, Waypoint, frame_header, read_adoption_note
from crdtstore.errors import ProfileErased, ProfileNotFound, StorageFull
from crdtstore.model.cells import DENIAL, SET, parse_key, register_key
from crdtstore.model.document import canonical_bytes
from crdtstore.model.operations import add, grant, increment, remove, revoke
from crdtstore.settings import Settings
from crdtstore.storage.memory_storage import DISK_BYTES_DEFAULT
from crdtstore.sync.frame import Frame, decode_body
from crdtstore.testing.lockstep import Network
from crdtstore.testing.wires import topology

SHAPES = ("mesh", "chain", "hub", "ring")
PROFILES = ("ann", "bob", "zoë")
SOURCES = ("cdp", "crm")


# --- checks --------------------------------------------------------------------------------------


def all_ids(store):
    ids = {key.decode() for key, _ in store.storage.documents(b"", limit=10**6, bytes_max=10**12)}
    return sorted(ids | set(store.documents.dirty))


def canonical(store):
    """Every document that is not absent, by id, as canonical bytes."""
    documents = {profile_id: store.documents.get(profile_id) for profile_id in all_ids(store)}
    return {
        profile_id: canonical_bytes(document)
        for profile_id, document in documents.items()
        if not document.is_absent
    }


def check_equal(network):
    digests = {name: network.store(name).digest() for name in network.running()}
    assert len({(d.profiles, d.digest) for d in digests.values()}) == 1, digests
    documents = [canonical(network.store(name)) for name in network.running()]
    assert all(other == documents[0] for other in documents)


def check_causal_order(store):
    """Every frame in the journal follows its origin's previous one and its dependencies."""
    trimmed = store.storage.meta("trimmed")
    vector = {} if trimmed is None else dict(Waypoint.unpack(0, trimmed).vector)
    for _, record in store.storage.journal(0, limit=10**6, bytes_max=10**12):
        header = frame_header(record)
        if header is None:
            if record[:2] == ADOPTION_MAGIC:
                heads = read_adoption_note(record)
                vector.update({origin: head[0] for origin, head in heads.items()})
            continue
        frame = Frame(header.origin, header.sequence, header.timestamp, b"", b"", record)
        dependencies, _ = decode_body(frame)
        assert header.sequence == vector.get(header.origin, 0) + 1
        for origin, sequence in dependencies.items():
            assert vector.get(origin, 0) >= sequence, "an effect came before its cause"
        vector[header.origin] = header.sequence


# --- the oracle ----------------------------------------------------------------------------------


@dataclass
class Oracle:
    """What was written, where, and what had been seen there: enough to say what must stand."""

    network: Network
    registers: list = field(default_factory=list)
    increments: list = field(default_factory=list)
    claims: list = field(default_factory=list)
    marks: list = field(default_factory=list)

    def act(self, name, profile_id, source, operation):
        """Write one operation at a replica, and note what it promises."""
        store = self.network.store(name)
        document = store.documents.get(profile_id)
        kind, argument = operation
        if kind in ("erase", "revive"):
            getattr(store, kind)(profile_id)
            self.network.ticket(name)
            return
        if document.is_erased:
            with pytest.raises(ProfileErased):
                store.write(profile_id, {"x": 1}, source=source)
            return
        before = dict(document.cells)
        fields = {
            "set": {"email": argument},
            "increment": {"logins": increment(argument)},
            "add": {"tags": add(argument)},
            "remove": {"tags": remove(argument)},
            "revoke": {"mail": revoke()},
            "grant": {"mail": grant()},
        }[kind]
        try:
            result = store.write(profile_id, fields, source=source)
        except StorageFull:
            assert store.counters["commits_failed"], "refused with nothing full"
            return
        ticket = self.network.ticket(name)
        where = (profile_id, document.epoch)
        if kind == "set" and result.changed:
            key = register_key("email", source)
            self.registers.append((ticket, where, key, document.cells[key]))
        elif kind == "increment":
            self.increments.append((ticket, where, argument))
        self._note_maxima(ticket, where, before, document.cells)

    def _note_maxima(self, ticket, where, before, after):
        for key, cell in after.items():
            if len(cell) != 2 or cell == before.get(key):
                continue
            if cell[0] > before.get(key, (0, 0))[0]:
                self.claims.append((ticket, where, key, cell[0]))
            else:
                self.marks.append((ticket, where, key, cell[1]))

    def check(self, store):
        for ticket, (profile_id, epoch), key, cell in self.registers:
            document = store.documents.get(profile_id)
            if ticket.state == "durable" and document.epoch == epoch:
                assert document.cells[key][:2] >= cell[:2], "an acknowledged write is gone"
                if document.cells[key][:2] == cell[:2]:
                    assert document.cells[key] == cell
        for profile_id in PROFILES:
            self._check_counter(store, profile_id)
            self._check_maxima(store, profile_id)

    def _check_counter(self, store, profile_id):
        document = store.documents.get(profile_id)
        where = (profile_id, document.epoch)
        amounts = {"durable": 0, "unknown": 0, "lost": 0}
        for ticket, place, amount in self.increments:
            if place == where:
                amounts[ticket.state] += amount
        logins = read(store, profile_id).get("logins", 0)
        assert amounts["durable"] <= logins <= amounts["durable"] + amounts["unknown"]

    def _check_maxima(self, store, profile_id):
        """A claim stands exactly if no durable mark had seen it."""
        document = store.documents.get(profile_id)
        where = (profile_id, document.epoch)
        kept = ("durable", "unknown")
        is_certain = all(
            ticket.state != "unknown"
            for ticket, place, _, _ in (*self.claims, *self.marks)
            if place == where
        )
        seen = {}
        for ticket, place, key, timestamp in self.marks:
            if place == where and ticket.state in kept:
                seen[key] = max(seen.get(key, 0), timestamp)
        expected = {
            key
            for ticket, place, key, timestamp in self.claims
            if place == where and ticket.state in kept and timestamp > seen.get(key, 0)
        }
        standing = {
            key
            for key, cell in document.cells.items()
            if parse_key(key).letter in (SET, DENIAL) and cell[0] > cell[1]
        }
        if is_certain:
            assert standing == expected
        profile = read(store, profile_id)
        elements = {parse_key(key).element[1:] for key in standing if parse_key(key).letter == SET}
        assert set(profile.get("tags", [])) == elements
        if any(parse_key(key).letter == DENIAL for key in standing):
            assert profile["mail"] is False


def read(store, profile_id):
    try:
        return dict(store.read(profile_id))
    except (ProfileErased, ProfileNotFound):
        return {}


# --- random histories ----------------------------------------------------------------------------

OPERATIONS = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 9)),
    st.tuples(st.just("increment"), st.integers(1, 5)),
    st.tuples(st.sampled_from(["add", "remove"]), st.sampled_from("xyz")),
    st.tuples(st.sampled_from(["grant", "revoke"]), st.none()),
    st.tuples(st.sampled_from(["erase", "revive"]), st.none()),
)
WRITES = st.tuples(
    st.just("write"),
    st.integers(0, 3),
    st.sampled_from(PROFILES),
    st.sampled_from(SOURCES),
    OPERATIONS,
)
WIRES = st.tuples(
    st.sampled_from(["cut", "heal", "drop", "delay"]), st.integers(0, 5), st.integers(0, 4)
)
NODES = st.tuples(
    st.sampled_from(["crash", "lose", "restart", "checkpoint", "fill", "free", "slow"]),
    st.integers(0, 3),
)
ACTIONS = st.one_of(
    WRITES, WRITES, WRITES, st.tuples(st.just("step"), st.integers(1, 12)), WIRES, NODES
)


def apply_action(network, oracle, names, wires, action):
    match action:
        case ("write", number, profile_id, source, operation):
            name = names[number % len(names)]
            if network.nodes[name].exchange is not None:
                oracle.act(name, profile_id, source, operation)
        case ("step", count):
            network.step(count)
        case ("cut" | "heal" | "drop" as verb, number, _):
            getattr(network, verb)(wires[number % len(wires)])
        case ("delay", number, steps):
            wires[number % len(wires)].delay_steps = steps
        case (verb, number):
            act_on_node(network, names[number % len(names)], verb)


def act_on_node(network, name, verb):
    node = network.nodes[name]
    if verb == "restart":
        network.restart(name)
    if node.exchange is None:
        return
    if verb in ("crash", "lose"):
        network.crash(name, persists=verb == "crash")
    elif verb == "slow":
        node.is_slow = not node.is_slow
    elif verb in ("fill", "free"):
        node.storage.disk_bytes_max = 0 if verb == "fill" else DISK_BYTES_DEFAULT
    elif verb == "checkpoint":
        node.checkpoint()


def heal_all(network):
    for name, node in network.nodes.items():
        node.storage.disk_bytes_max = DISK_BYTES_DEFAULT
        network.restart(name)
    for wire in network.wires.values():
        network.heal(wire)
        wire.delay_steps = 0
    network.step(15)
    network.settle()


@pytest.fixture
def small_limits(monkeypatch):
    """Limits so small that a few writes are trimmed, sent as snapshots, and out of credit."""
    monkeypatch.setattr(limits, "WAYPOINT_RECORDS", 2)
    monkeypatch.setattr(limits, "CHECKPOINT_INTERVAL_MS", 500)
    monkeypatch.setattr(limits, "CHECKPOINT_SLICE_DOCUMENTS", 1)
    monkeypatch.setattr(limits, "JOURNAL_CACHE_BYTES", 400)
    monkeypatch.setattr(limits, "CREDIT_BYTES", 600)
    monkeypatch.setattr(limits, "MESSAGE_FRAMES_BYTES", 300)
    monkeypatch.setattr(limits, "SNAPSHOT_FRESH_PROFILES_MIN", 2)
    monkeypatch.setattr(limits, "CHUNK_DOCUMENTS_MAX", 1)


def run_history(shape, size, late, seed, actions, store_settings=None):
    """Run a history, heal everything, and check all that was promised."""
    network = Network(seed, settings=store_settings)
    names = ["ap", "eu", "sa", "us"][:size]
    for number, name in enumerate(names):
        network.add(name, starts=number < max(1, size - late))
    wires = [network.wire(one, two) for one, two in topology(shape, names)]
    oracle = Oracle(network)
    for action in actions:
        apply_action(network, oracle, names, wires, action)
    heal_all(network)
    note(network.describe())
    check_equal(network)
    for name in names:
        oracle.check(network.store(name))
        check_causal_order(network.store(name))
        assert network.store(name).counters["frames_refused"] == 0
        network.store(name).commit(checkpoint=True)
        assert network.store(name).verify().is_sound
    check_equal(network)


HISTORIES = {
    "shape": st.sampled_from(SHAPES),
    "size": st.integers(2, 4),
    "late": st.integers(0, 2),
    "seed": st.integers(0, 2**32),
    "actions": st.lists(ACTIONS, max_size=60),
}


@settings(max_examples=120, deadline=None)
@given(**HISTORIES)
def test_replicas_converge_whatever_happens(shape, size, late, seed, actions):
    run_history(shape, size, late, seed, actions)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(**HISTORIES)
def test_replicas_with_short_journals_converge_whatever_happens(
    small_limits, shape, size, late, seed, actions
):
    run_history(shape, size, late, seed, actions, Settings(journal_bytes_max=400))
