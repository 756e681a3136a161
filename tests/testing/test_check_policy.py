"""check_policy: each law is found broken by a policy that breaks it, and said in a few lines."""

import itertools
import logging
import os
import random
import secrets
import subprocess
import sys
import time
import uuid
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from crdtstore.model import survivorship
from crdtstore.schema import Policy, custom, frequency, recency
from crdtstore.testing import LawBroken, check_policy, strategies
from crdtstore.testing.other_process import survivors_elsewhere
from tests.patience import PATIENCE_S

FEW = settings(max_examples=40)
AT_ONCE = settings(phases=(Phase.generate,))
"""For what breaks a law with every example: none needs to be made smaller."""

counting = itertools.count()
remembered = {}


def newest(candidates):
    logging.getLogger(__name__).debug("%d candidates", len(candidates))
    return max(candidates, key=lambda one: one.recency)


def greatest_text(candidates):
    return max(candidates, key=lambda one: (str(one.value), one.recency))


def of_the_steward(candidates):
    return max(candidates, key=lambda one: (one.source == "chief steward", one.recency))


def seeded(candidates):
    ordered = sorted({one.recency: one for one in candidates}.items())
    return random.Random(str(ordered[0][0])).choice(ordered)[1]


@pytest.mark.parametrize("policy", [newest, greatest_text, of_the_steward, custom("own", newest)])
def test_a_policy_that_keeps_the_laws_passes(policy):
    check_policy(policy, settings=FEW)


def test_a_policy_may_draw_lots_that_the_candidates_decide():
    check_policy(seeded, values=st.text(max_size=3), settings=FEW)


def first(candidates):
    return candidates[0]


def last_of_the_longest(candidates):
    return max(reversed(candidates), key=lambda one: len(one.value))


def most_said(candidates):
    said = [one.value for one in candidates]
    return max(candidates, key=lambda one: (said.count(one.value), one.recency))


def one_of_each_source(candidates):
    by_source = {one.source: one for one in candidates}  # of a person there may be two
    return newest(by_source.values())


def in_turn(candidates):
    ordered = sorted(candidates, key=lambda one: one.recency)
    return ordered[next(counting) % len(ordered)]


def loyal(candidates):
    favourite = remembered.setdefault("source", candidates[0].source)
    return max(candidates, key=lambda one: (one.source == favourite, one.recency))


def sticky(candidates):
    favourite = remembered.get("last")
    chosen = max(candidates, key=lambda one: (one.source == favourite, one.recency))
    remembered["last"] = chosen.source
    return chosen


def by_hash(candidates):
    return max(candidates, key=lambda one: (hash(one.value), one.recency))


def by_identity(candidates):
    return max(candidates, key=lambda one: (one.value is TOKEN, one.recency))


TOKEN = "the one and only"


@pytest.mark.parametrize(
    ("policy", "values", "law"),
    [
        (first, None, "order"),
        (last_of_the_longest, st.text(max_size=3), "order"),
        (one_of_each_source, None, "order"),
        (most_said, st.sampled_from("ab"), "repetition"),
        (in_turn, None, "order|repetition|memory"),
        (sticky, None, "memory"),
        (by_hash, st.text(max_size=3), "process"),
        (by_identity, st.sampled_from([TOKEN, "another"]), "storage"),
    ],
)
def test_a_policy_that_breaks_a_law_is_found(policy, values, law):
    text = rf"^policy '{policy.__name__}' breaks the law of ({law})"
    with pytest.raises(LawBroken, match=text) as caught:
        check_policy(policy, values=values)
    assert 3 <= len(str(caught.value).splitlines()) <= 4
    assert not getattr(caught.value, "__notes__", [])


def test_another_process_is_asked_in_the_opposite_order():
    one = [(1, 7, "cdp", "a", "ann"), (2, 7, "crm", "b", "ann")]
    two = [(1, 7, "crm", "c", "ann"), (2, 7, "cdp", "d", "ann")]
    assert survivors_elsewhere(loyal, [one, two]) == [1, 0]
    assert survivors_elsewhere(newest, [one, two, one]) == [1, 1, 1]


def test_what_another_process_cannot_find_is_not_asked_there():
    assert (
        survivors_elsewhere(lambda candidates: candidates[0], [[(1, 7, "cdp", "a", "ann")]]) == []
    )


@pytest.mark.parametrize(
    ("ask", "name"),
    [
        (time.time, r"time\.time"),
        (time.time_ns, r"time\.time_ns"),
        (time.monotonic, r"time\.monotonic"),
        (datetime.now, r"datetime\.now"),
        (date.today, r"date\.today"),
        (random.random, "random"),
        (lambda: random.choice("ab"), "random"),
        (lambda: random.SystemRandom().random(), r"os\.urandom"),
        (lambda: secrets.token_hex(2), r"os\.urandom"),
        (uuid.uuid4, r"os\.urandom"),
    ],
)
def test_a_clock_or_chance_is_found_even_if_the_answer_makes_no_difference(ask, name):
    def careful(candidates):
        ask()
        return newest(candidates)

    with pytest.raises(LawBroken, match=rf"'careful' breaks the law of outside: it asks {name}\n"):
        check_policy(careful, settings=AT_ONCE)


@pytest.mark.parametrize(
    ("returns", "text"),
    [(lambda many: None, "None"), (lambda many: many[0].source, "'cdp'"), (list, r"\[Candidate")],
)
def test_what_is_no_candidate_is_found(returns, text):
    with pytest.raises(LawBroken, match=f"breaks the law of choice: it returns {text}"):
        check_policy(returns, settings=AT_ONCE)


def test_what_a_policy_raises_is_shown_with_the_candidates_and_the_way_out():
    with pytest.raises(TypeError, match="has no len") as caught:
        check_policy(last_of_the_longest)
    (note, *_) = caught.value.__notes__
    assert note.startswith("policy 'last_of_the_longest' breaks the law of choice")
    assert " at 1, " in note
    assert note.endswith("say what it holds: check_policy(values=...).")


def test_sources_that_a_function_knows_are_drawn_if_they_are_named():
    def forgets_ties_of_the_chief(candidates):
        chief = [one for one in candidates if one.source == "chief"]
        return candidates[0] if chief else newest(candidates)

    check_policy(forgets_ties_of_the_chief, settings=FEW)
    with pytest.raises(LawBroken, match="law of order"):
        check_policy(forgets_ties_of_the_chief, sources=["chief"])


@pytest.mark.parametrize("policy", [recency(), frequency()])
def test_a_built_in_policy_can_be_checked(policy):
    check_policy(policy, settings=FEW)


def test_a_family_of_policies_is_checked_as_a_strategy():
    def policy_of(word):
        return custom(word, lambda many: many[0] if word == "bad" else newest(many))

    family = st.sampled_from(["good", "fair", "bad"]).map(policy_of)
    with pytest.raises(LawBroken, match="policy 'bad' breaks the law of order"):
        check_policy(family)


def test_a_policy_of_the_store_that_breaks_a_law_would_be_found(monkeypatch):
    monkeypatch.setattr(survivorship, "newest", lambda claims: claims[0])
    with pytest.raises(LawBroken, match="policy 'oldest' breaks the law of order"):
        check_policy(Policy("oldest"))


def test_in_a_group_the_values_are_maps():
    parts = {name: st.text(min_size=1, max_size=2) for name in ("city", "street", "zip")}

    def most_complete(candidates):
        return max(candidates, key=lambda one: (len(one.value), one.recency))

    check_policy(most_complete, values=st.fixed_dictionaries({}, optional=parts))


@given(strategies.rival_claims(strategies.SOURCES))
def test_rival_claims_are_of_different_sources_or_profiles(claims):
    assert len({(claim[2], claim[4]) for claim in claims}) == len(claims) >= 2


def test_a_script_that_proves_its_policy_at_its_top_level_ends(tmp_path):
    lines = [
        "from crdtstore.testing import check_policy",
        "def newest(candidates):",
        "    return max(candidates, key=lambda one: one.recency)",
        "check_policy(newest)",
        "print('proved')",
    ]
    (tmp_path / "script.py").write_text("\n".join(lines), "utf-8")
    finished = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (0, "proved\n"), finished.stderr
