"""Message ids that were seen: as a plain set says, within the window."""

import random

from replicas.cdp.seen import Seen, hash_of


def test_it_says_what_a_plain_set_says() -> None:
    chance = random.Random(7)
    seen, plain = Seen(count_max=1_000_000, age_ms_max=10**9), set[int]()
    for now_ms in range(300):
        batch = [hash_of(str(chance.randrange(40_000))) for _ in range(chance.randrange(1, 600))]
        expected = [one not in plain and one not in batch[:at] for at, one in enumerate(batch)]
        assert seen.unseen(batch) == expected
        new = [one for one, is_new in zip(batch, expected, strict=True) if is_new]
        seen.add(new, now_ms)
        plain.update(new)
    assert len(seen) == len(plain) > 30_000


def test_it_never_has_more_than_its_window_and_a_run() -> None:
    seen = Seen(count_max=16_000, age_ms_max=10**9)
    for number in range(200):
        seen.add([hash_of(f"{number} {at}") for at in range(500)], number)
        assert len(seen) <= 17_500
    assert not any(seen.unseen([hash_of(f"{number} 7") for number in range(170, 200)]))
    assert all(seen.unseen([hash_of(f"{number} 7") for number in range(100)]))


def test_what_is_too_old_is_forgotten_though_little_comes() -> None:
    seen = Seen(count_max=1_000_000, age_ms_max=16_000)
    for second in range(60):
        seen.add([hash_of(str(second))], second * 1_000)
    assert not any(seen.unseen([hash_of(str(second)) for second in range(44, 60)]))
    assert all(seen.unseen([hash_of(str(second)) for second in range(40)]))
    assert len(seen) < 22
