"""The checker of releases on histories that are known to be good or bad."""

import math
import pathlib
import random
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from release_history import STEP, Call, Publication, Purge, judge  # noqa: E402

FIRST, SECOND = Publication(0, 1, 0, 1), Publication(0, 2, 10, 11)


def call(begin, end, content, use="hit", host=0, key=7, question=None):
    return Call(begin, end, host, key, content * STEP + (key if question is None else question), use)


def faults(publications, *calls, **more):
    verdict = judge(publications, calls, **more)
    return [name for name in ("wrong", "stale", "old", "unpurged") for _ in getattr(verdict, name)]


def test_the_content_that_is_served_is_right_from_any_source():
    for use in ("hit", "stale", "join", "miss", "bypass"):
        assert faults([FIRST, SECOND], call(2, 3, 1, use), call(12, 13, 2, use)) == []


def test_while_a_publication_is_under_way_both_are_right():
    for begin, end in ((9, 10.5), (10.2, 10.8), (10.5, 20)):
        assert faults([FIRST, SECOND], call(begin, end, 1), call(begin, end, 2)) == []


def test_the_old_content_after_the_acknowledgement_is_stale():
    assert faults([FIRST, SECOND], call(11.1, 11.2, 1)) == ["stale"]
    assert faults([FIRST, SECOND], call(11.1, 11.2, 1, "join")) == ["stale"]
    assert faults([FIRST, SECOND], call(11.1, 11.2, 1, "miss")) == ["old"]


def test_the_new_content_before_its_publication_began_is_stale():
    assert faults([FIRST, SECOND], call(8, 9, 2)) == ["stale"]


def test_hosts_are_apart():
    other = Publication(1, 1, 0, 1)
    assert faults([FIRST, SECOND, other], call(12, 13, 1, host=1)) == []
    assert faults([FIRST, SECOND, other], call(12, 13, 2, host=1)) == ["stale"]


def test_another_question_or_content_is_wrong():
    assert faults([FIRST], call(2, 3, 1, question=8)) == ["wrong"]
    assert faults([FIRST], call(2, 3, 5)) == ["wrong"]
    assert faults([FIRST], call(2, 3, 5, "miss")) == ["wrong"]
    assert faults([FIRST], Call(2, 3, 0, 7, 123456789, "hit")) == ["wrong"]


def test_a_publication_without_acknowledgement_may_hold_until_the_next_does():
    lost = Publication(0, 2, 10, math.inf)
    third = Publication(0, 3, 20, 21)
    assert faults([FIRST, lost, third], call(12, 13, 1), call(12, 13, 2), call(19, 19.5, 2)) == []
    assert faults([FIRST, lost, third], call(22, 23, 1)) == ["stale"]
    assert faults([FIRST, lost, third], call(22, 23, 2)) == ["stale"]


def test_a_rollback_makes_the_older_content_right_again():
    back = Publication(0, 1, 20, 21)
    assert faults([FIRST, SECOND, back], call(22, 23, 1)) == []
    assert faults([FIRST, SECOND, back], call(22, 23, 2)) == ["stale"]
    assert faults([FIRST, SECOND, back], call(12, 13, 1)) == ["stale"]


def test_a_call_that_failed_says_nothing():
    assert faults([FIRST, SECOND], Call(12, 13, 0, 7, None)) == []


def test_after_a_purge_somebody_has_to_have_computed():
    purge = Purge(0, 5, 6)
    filled = call(2, 3, 1, "miss")
    assert faults([FIRST], filled, call(6.1, 6.2, 1), purges=[purge]) == ["unpurged"]
    assert faults([FIRST], filled, call(5.5, 6.2, 1), purges=[purge]) == []
    assert faults([FIRST], filled, call(6.1, 6.2, 1, "miss"), call(6.3, 6.4, 1), purges=[purge]) == []
    assert faults([FIRST], call(4, 5.2, 1, "miss"), call(6.1, 6.2, 1), purges=[purge]) == [], "it may have begun before"
    assert faults([FIRST], Call(4, 5.2, 0, 7, None), call(6.1, 6.2, 1), purges=[purge]) == [], "nobody knows what it did"
    assert faults([FIRST], filled, call(6.1, 6.2, 1, "miss", key=8), call(6.3, 6.4, 1), purges=[purge]) == ["unpurged"]


def test_other_hosts_have_a_bound_after_a_purge():
    hosts = [FIRST, Publication(1, 1, 0, 1)]
    purge, filled = Purge(0, 5, 6), call(2, 3, 1, "miss", host=1)
    assert faults(hosts, filled, call(7, 7.1, 1, host=1), purges=[purge], bound=2) == []
    assert faults(hosts, filled, call(8.5, 8.6, 1, host=1), purges=[purge], bound=2) == ["unpurged"]
    elsewhere = call(6.5, 6.6, 1, "miss")
    assert faults(hosts, filled, elsewhere, call(8.5, 8.6, 1, host=1), purges=[purge], bound=2) == ["unpurged"]
    assert faults(hosts, filled, elsewhere, call(8.5, 8.6, 1, host=1), purges=[purge], bound=2, shared=True) == []


@pytest.mark.parametrize("seed", range(20))
def test_histories_of_a_simulated_host_and_one_planted_fault(seed):
    chance = random.Random(seed)
    publications, calls, now, content = [], [], 0.0, 0
    for step in range(200):
        begin = now + chance.random()
        end = begin + chance.random()
        was, content = content, chance.choice([step + 1, max(content, 1)])
        publications.append(Publication(0, content, begin, end))
        for _ in range(5):
            at = begin + chance.random() * (end - begin)
            calls.append(call(at, at + 0.01, chance.choice([was, content]) if was else content,
                              chance.choice(["hit", "miss", "join"]), key=chance.randrange(50)))
        now = end
        calls.append(call(now + 1e-6, now + 1e-5, content, key=chance.randrange(50)))
        now += 1e-4
    assert judge(publications, calls).ok
    # A cached answer of a content that is served no more, at a time when nothing is under way.
    index = chance.randrange(20, 199)
    current = publications[index].content
    older = next(one.content for one in reversed(publications[:index]) if one.content != current)
    planted = call(publications[index].end + 2e-5, publications[index].end + 3e-5, older)
    verdict = judge(publications, [*calls, planted])
    assert verdict.stale == [planted] and not verdict.wrong and not verdict.old
