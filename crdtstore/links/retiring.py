"""Retiring: what replicas do together about origins at rest.

Each brings them to rest by itself. When two of them link and differ in theirs, each tells the other
all of its own, before either asks for frames: who has less of such an origin needs a snapshot.
"""

import logging
from collections import ChainMap

from crdtstore.engine.replication import Replication
from crdtstore.errors import IdentityClash
from crdtstore.links.serving import LinkState, tell_resting
from crdtstore.store import Store
from crdtstore.sync.messages import Resting
from crdtstore.sync.vector import Heads, vector_of

_log = logging.getLogger("crdtstore.links")


def rest_origins(store: Store, links: list[LinkState]) -> None:
    """Bring to rest what has retired, unless the peer of an open link has more of it."""
    replication, resting = store.replication, store.ledger.resting
    sessions = [link.session for link in links if link.session.state == "open"]
    peers = {session.peer.origin for session in sessions if session.peer is not None}
    for origin, head in replication.retired().items():
        is_claimed = any(session.claimed.get(origin, 0) > head[0] for session in sessions)
        if origin not in peers and not is_claimed:
            replication.rest_origin(origin, head)
    _forget_told(store, links)
    for session in sessions:
        for origin in [o for o, claim in session.claimed.items() if claim <= resting.sequence(o)]:
            del session.claimed[origin]
    replication.forget_silent(ChainMap(*(session.claimed for session in sessions)))


def tell_rested(store: Store, link: LinkState) -> None:
    """Tell a peer of origins that came to rest here since the link began, unless it knows."""
    resting, session = store.ledger.resting, link.session
    untold = {
        origin: head
        for origin, sequence in store.ledger.lately_rested.items()
        if session.told.get(origin) != sequence and (head := resting.get(origin)) is not None
    }
    if untold:
        tell_resting(link, store.replication, untold)
        session.told.update(vector_of(untold))


def _forget_told(store: Store, links: list[LinkState]) -> None:
    """Forget what came to rest lately and is known to all peers, those being linked included."""
    lately = store.ledger.lately_rested
    tellings = [link.session.told for link in links if link.session.state != "closed"]
    for origin, sequence in list(lately.items()):
        if all(told.get(origin) == sequence for told in tellings):
            del lately[origin]
            for told in tellings:
                del told[origin]


def hear_resting(store: Store, link: LinkState, message: Resting) -> bool:
    """Take what a peer says of origins at rest as what it has; return whether we lack some of it.

    What we lack we cannot have as frames from this peer. Raises MessageInvalid.
    """
    ledger = store.ledger
    store.replication.origins.learn(message.names)
    news = {o: head for o, head in message.heads.items() if ledger.resting.sequence(o) < head[0]}
    link.session.claim(vector_of(news))
    forked = [
        origin
        for origin, head in message.heads.items()
        if ledger.head(origin)[0] == head[0] and ledger.head(origin)[1] != head[1]
    ]
    if forked:
        text = "%d origins at rest had two histories, %016x among them: repair this replica"
        _log.error(text, len(forked), forked[0])
    return any(ledger.head(origin)[0] < head[0] for origin, head in news.items())


def is_rolled_back(replication: Replication, peer_name: str, heads: Heads) -> bool:
    """Say whether a peer has frames of ours at rest that we do not have.

    Raises IdentityClash if it has others in their place.
    """
    identity = replication.identity
    seen = heads.get(identity.origin)
    if seen is None:
        return False
    if seen[0] > replication.vector.get(identity.origin, 0):
        return True
    known = replication.hash_at(identity.origin, seen[0])
    if known is not None and known != seen[1]:
        raise IdentityClash(
            f"{peer_name!r} knows another history of {identity.name!r} under the same identity: "
            "the data directory was rolled back or cloned, and written to"
        )
    return False
