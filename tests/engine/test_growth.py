"""Growth: a profile's size depends on its fields and sources, not on how often they changed."""

from crdtstore.model.operations import add, increment
from tests.engine.stores import Clock, open_store


def test_a_profile_overwritten_100_000_times_is_no_larger_than_after_100_times():
    """Three replicas and four sources overwrite one profile, exchange frames, and stay small."""
    clock = Clock()
    stores = [open_store(name=name, now_ms=clock) for name in ("eu", "us", "ap")]
    position = {store.replication.identity.name: 0 for store in stores}

    def overwrite(times, start):
        for number in range(start, start + times):
            clock.ms += 1
            store = stores[number % 3]
            fields = {f"f{number % 12}": f"value {number:09d}", "n": increment(), "t": add("x")}
            store.write("ann", fields, source=f"source{number % 4}")

    def exchange():
        for store in stores:
            store.commit()
        for source in stores:
            name = source.replication.identity.name
            for after, record in source.replication.records_after(position[name], 10**9):
                position[name] = after
                for target in stores:
                    if target is not source:
                        target.replication.receive_frames([record], clock.ms)
        for store in stores:
            store.commit(checkpoint=True)

    def sizes():
        return [len(store.storage.document(b"ann")) for store in stores]

    overwrite(100, 0)
    exchange()
    after_100 = sizes()
    for start in range(100, 100_000, 9_990):
        overwrite(9_990, start)
        exchange()
    assert len({store.digest().digest for store in stores}) == 1
    assert stores[0].read("ann")["n"] == 100_000
    few_more_digits = 3 * 4 * 8
    assert max(sizes()) <= min(after_100) + few_more_digits
