"""Presence over links: through a chain, in a ring, with lost links, and where a link is busy."""

import pytest

from crdtstore import limits
from crdtstore.links.exchange import Exchange
from crdtstore.store import Store
from tests.engine.stores import Clock, open_store

PLACE = ("ann", "note")
HERE = "{}"


class Net:
    """Exchanges of some replicas, and links between them that carry messages when asked to."""

    def __init__(self, *names: str) -> None:
        self.clock = Clock()
        self.stores: dict[str, Store] = {
            name: open_store(name=name, now_ms=self.clock) for name in names
        }
        self.exchanges = {name: Exchange(store) for name, store in self.stores.items()}
        self.lines: list[tuple[str, int, str, int]] = []

    def link(self, one: str, other: str) -> None:
        numbers = (
            self.exchanges[one].open_link(outbound=True),
            self.exchanges[other].open_link(outbound=False),
        )
        self.lines.append((one, numbers[0], other, numbers[1]))
        self.carry()

    def cut(self, one: str, other: str) -> None:
        (line,) = [line for line in self.lines if {line[0], line[2]} == {one, other}]
        self.lines.remove(line)
        self.exchanges[line[0]].close_link(line[1])
        self.exchanges[line[2]].close_link(line[3])
        self.carry()

    def carry(self) -> int:
        """Carry all messages until there are none; return how many told of presence."""
        told = 0
        is_busy = True
        while is_busy:
            is_busy = False
            for one, number, other, far_number in self.lines:
                for source, near, target, far in (
                    (one, number, other, far_number),
                    (other, far_number, one, number),
                ):
                    for data in self.exchanges[source].take_outgoing(near):
                        told += data[0] == 18
                        self.exchanges[target].receive(far, data)
                        is_busy = True
        return told

    def announce(self, name: str, client: int, clock: int, via: int) -> int:
        presence = self.exchanges[name].presence
        presence.announce(PLACE, [(client, clock, HERE)], via, self.clock.ms)
        return self.carry()

    def seen(self, name: str) -> list[int]:
        return sorted(client for client, _, _ in self.exchanges[name].presence.present(PLACE))


def test_presence_goes_through_a_chain_and_back() -> None:
    net = Net("a", "b", "c")
    net.link("a", "b")
    via = net.exchanges["a"].presence.connect()
    net.announce("a", 5, 1, via)
    net.link("b", "c")
    assert net.seen("c") == [5], "a new link is told who is there"
    net.announce("c", 6, 1, net.exchanges["c"].presence.connect())
    assert net.seen("a") == net.seen("b") == net.seen("c") == [5, 6]
    net.exchanges["a"].presence.leave(via, net.clock.ms)
    net.carry()
    assert net.seen("a") == net.seen("b") == net.seen("c") == [6]


def test_what_is_no_news_goes_no_further() -> None:
    net = Net("a", "b", "c")
    for one, other in (("a", "b"), ("b", "c"), ("c", "a")):
        net.link(one, other)
    via = net.exchanges["a"].presence.connect()
    assert net.announce("a", 5, 1, via) <= 4, "at most once in each direction between the others"
    assert net.announce("a", 5, 1, via) == 0
    assert net.seen("b") == net.seen("c") == [5]


def test_a_lost_link_takes_along_who_came_by_it_until_they_come_another_way() -> None:
    net = Net("a", "b", "c")
    for one, other in (("a", "b"), ("b", "c"), ("c", "a")):
        net.link(one, other)
    via = net.exchanges["a"].presence.connect()
    net.announce("a", 5, 1, via)
    net.cut("a", "b")
    assert net.seen("b") == []
    net.announce("a", 5, 2, via)
    assert net.seen("b") == net.seen("c") == [5], "over c, when it is renewed"
    net.cut("a", "c")
    assert net.seen("b") == net.seen("c") == []
    assert net.seen("a") == [5]


def test_who_is_silent_is_gone() -> None:
    net = Net("a", "b")
    net.link("a", "b")
    net.announce("a", 5, 1, net.exchanges["a"].presence.connect())
    net.clock.ms += limits.PRESENCE_SILENT_MS_MAX
    for exchange in net.exchanges.values():
        exchange.presence.tick(net.clock.ms)
    assert net.seen("a") == net.seen("b") == []


def test_a_busy_link_is_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net("a", "b")
    net.link("a", "b")
    monkeypatch.setattr(limits, "PRESENCE_QUEUE_BYTES", 100)
    presence = net.exchanges["a"].presence
    via = presence.connect()
    for clock in range(50):
        presence.announce(PLACE, [(5, clock, HERE)], via, net.clock.ms)
    (number,) = net.exchanges["a"].links
    assert net.exchanges["a"].links[number].session.outgoing_bytes < 200
    net.carry()
    net.announce("a", 5, 99, via)
    assert [c[:2] for c in net.exchanges["b"].presence.present(PLACE)] == [(5, 99)]


def test_many_clients_are_told_in_several_messages() -> None:
    net = Net("a", "b")
    presence = net.exchanges["a"].presence
    count = 2 * limits.PRESENCE_CLIENTS_PER_MESSAGE + 1
    presence.announce(PLACE, [(n, 1, HERE) for n in range(count)], -1, net.clock.ms)
    net.link("a", "b")
    assert net.seen("b") == list(range(count))
