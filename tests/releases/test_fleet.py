"""Small runs of what `./dev bench releases` measures on three hosts that share a PostgreSQL and a Redis."""

import fleet
import pytest
from mezzo_server import SLOWNESS


def test_a_rollback_by_hand_is_in_force_on_three_hosts_and_no_cached_answer_is_stale():
    found = fleet.rollback(rounds=2, rate=150)
    assert found["failed"] == 0, found
    assert found["stale"] == 0 and found["hits"] > 20, found
    assert max(found["everywhere_s"]) <= 1 * SLOWNESS, found


def test_releases_at_once_on_hosts_that_are_killed_all_settle_rightly():
    found = fleet.storm(releases=12, kills=2, seconds=240, python=1, connections=16)
    assert found["failed"] == 0, found
    assert found["inconsistent"] == 0, found
    assert found["kills"] == 2 and found["releases"] == 12, found


@pytest.mark.parametrize("kind", ["fails 10 %", "fails all"])
def test_callers_see_no_failure_of_a_version_that_fails(kind):
    found = fleet.errors(kinds=[kind], rate=100, canary=2000)
    assert found["failed"] == 0, found
    assert found["rolled_back_s"][kind] < 240


def test_a_release_under_full_load_fails_no_call():
    found = fleet.full_load(seconds=16, connections=6)
    assert found["failed"] == 0, found
    assert found["rate"][0] > 20
