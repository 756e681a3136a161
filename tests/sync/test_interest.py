"""Interest: one provider per origin, the origin itself if there, another when it stalls."""

from crdtstore import limits
from crdtstore.sync.interest import Interest, Neighbour

OWN, A, B, C = 1, 10, 20, 30
PATIENCE = limits.WANT_PATIENCE_MS


def ask(interest, neighbours, vector, now_ms=0):
    requests = interest.evaluate(neighbours, vector, OWN, now_ms)
    return requests.wants, requests.prunes


def test_everything_that_is_claimed_is_wanted_once():
    interest = Interest()
    neighbour = Neighbour(1, A, {A: 3, B: 2, OWN: 9})
    assert ask(interest, [neighbour], {A: 1}) == ({1: {A: 1, B: 0}}, {})
    assert ask(interest, [neighbour], {A: 1}) == ({}, {})


def test_a_neighbour_that_wrote_nothing_yet_is_subscribed_to_all_the_same():
    assert ask(Interest(), [Neighbour(1, A, {})], {}) == ({1: {A: 0}}, {})


def test_of_two_neighbours_one_provides_each_origin():
    wants, prunes = ask(Interest(), [Neighbour(1, A, {C: 5}), Neighbour(2, B, {C: 5})], {})
    assert wants == {1: {A: 0, C: 0}, 2: {B: 0}}
    assert prunes == {}


def test_the_one_that_claims_the_most_provides():
    wants, _ = ask(Interest(), [Neighbour(1, A, {C: 5}), Neighbour(2, B, {C: 6})], {})
    assert wants == {1: {A: 0}, 2: {B: 0, C: 0}}


def test_a_direct_link_replaces_a_relay():
    interest = Interest()
    relay = Neighbour(1, A, {A: 1, B: 5})
    ask(interest, [relay], {})
    wants, prunes = ask(interest, [relay, Neighbour(2, B, {B: 5})], {A: 1, B: 3})
    assert (wants, prunes) == ({2: {B: 3}}, {1: [B]})


def test_a_provider_that_is_gone_is_replaced_at_once():
    interest = Interest()
    ask(interest, [Neighbour(1, A, {A: 1, C: 5}), Neighbour(2, B, {C: 5})], {})
    wants, prunes = ask(interest, [Neighbour(2, B, {A: 1, C: 5})], {C: 2})
    assert (wants, prunes) == ({2: {A: 0, C: 2}}, {})
    interest.forget_link(2)
    assert ask(interest, [Neighbour(2, B, {})], {C: 2}) == ({2: {B: 0}}, {})


def test_a_provider_that_stalls_while_another_has_more_is_replaced():
    interest = Interest()
    neighbours = [Neighbour(1, A, {A: 9, C: 5}), Neighbour(2, B, {A: 9, C: 5})]
    ask(interest, neighbours, {A: 9})
    assert ask(interest, neighbours, {A: 9}, PATIENCE - 1) == ({}, {})
    wants, prunes = ask(interest, neighbours, {A: 9}, PATIENCE)
    assert (wants, prunes) == ({2: {C: 0}}, {1: [C]})
    assert ask(interest, neighbours, {A: 9}, PATIENCE + 1) == ({}, {})


def test_even_the_origin_itself_is_replaced_when_it_stalls_and_the_replacement_is_kept():
    interest = Interest()
    neighbours = [Neighbour(1, A, {A: 9}), Neighbour(2, B, {A: 9})]
    ask(interest, neighbours, {})
    wants, prunes = ask(interest, neighbours, {}, PATIENCE)
    assert (wants, prunes) == ({2: {A: 0}}, {1: [A]})
    assert ask(interest, neighbours, {A: 9}, PATIENCE + 1) == ({}, {})


def test_progress_and_having_all_are_both_no_stall():
    interest = Interest()
    neighbours = [Neighbour(1, A, {C: 9}), Neighbour(2, B, {C: 9})]
    ask(interest, neighbours, {})
    for step in range(1, 10):
        assert ask(interest, neighbours, {C: step}, step * (PATIENCE - 1)) == ({}, {})
    assert ask(interest, neighbours, {C: 9}, 99 * PATIENCE) == ({}, {})


def test_a_lonely_provider_is_asked_again():
    interest = Interest()
    neighbours = [Neighbour(1, A, {A: 9})]
    ask(interest, neighbours, {})
    assert ask(interest, neighbours, {A: 4}, PATIENCE - 1) == ({}, {})
    assert ask(interest, neighbours, {A: 4}, 2 * PATIENCE) == ({1: {A: 4}}, {})


def test_after_a_snapshot_everything_is_asked_anew_of_one_provider_each():
    interest = Interest()
    before = [Neighbour(1, A, {A: 1, C: 9}), Neighbour(2, B, {C: 2})]
    ask(interest, before, {})
    interest.forget_all()
    after = [Neighbour(1, A, {A: 1, C: 9}), Neighbour(2, B, {C: 12})]
    wants, prunes = ask(interest, after, {A: 1, C: 9})
    assert wants == {1: {A: 1}, 2: {B: 0, C: 9}}
    assert prunes == {1: [C]}, "the provider before would go on sending"


def test_no_link_is_asked_for_more_origins_than_there_can_be():
    """Whatever others claim: who is asked for more refuses the link."""
    interest = Interest()
    claims = [dict.fromkeys(range(1 + n * 5_000, 5_001 + n * 5_000), 1) for n in range(3)]
    neighbours = [Neighbour(n, 10**6 + n, claim) for n, claim in enumerate(claims)]
    asked = {n: set() for n in range(3)}
    for now_ms in range(0, 20_000, 1_000):
        requests = interest.evaluate(neighbours, {}, 1, now_ms)
        for link, origins in requests.prunes.items():
            asked[link] -= set(origins)
        for link, wants in requests.wants.items():
            asked[link] |= wants.keys()
            assert len(asked[link]) <= limits.ORIGINS_MAX


def test_what_nobody_claims_any_more_is_sent_no_more():
    interest = Interest()
    ask(interest, [Neighbour(1, A, {B: 1, C: 5})], {})
    assert ask(interest, [Neighbour(1, A, {B: 1})], {C: 5}) == ({}, {1: [C]})
    assert ask(interest, [Neighbour(1, A, {B: 1, C: 6})], {C: 5}) == ({1: {C: 5}}, {})
