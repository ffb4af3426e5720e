"""Judges the history of a model that was published again and again on several hosts while calls went on.

The checker knows nothing of the server: it has what callers and publishers saw, by one clock. Every content answers so that
an answer tells content and question (the model adds `STEP` times the number of its content to a question below `STEP`).

- *wrong*: the answer is of another question, or of a content that was never published.
- *stale*: it came from a cache, of a content that the host had replaced before the call began.
- *old*: the same, but the host says that it computed it.
- *unpurged*: it came from a cache, after a purge had been acknowledged and the bound for other hosts had passed, though nobody
  has asked for the answer to be computed since the purge began.
"""

import bisect
import dataclasses
import math

STEP = 1000
FROM_CACHE = {"hit", "stale", "join"}
COMPUTED = {"miss", "bypass"}


@dataclasses.dataclass(frozen=True)
class Publication:
    host: int
    content: int
    begin: float
    end: float = math.inf  # Nobody knows when, or whether, if it was not acknowledged.


@dataclasses.dataclass(frozen=True)
class Purge:
    host: int
    begin: float
    end: float


@dataclasses.dataclass(frozen=True)
class Call:
    begin: float
    end: float
    host: int
    key: int
    answer: int | None  # None: failed, or no answer came; it may have been computed all the same.
    use: str | None = None


@dataclasses.dataclass
class Verdict:
    calls: int = 0
    answered: int = 0
    uses: dict = dataclasses.field(default_factory=dict)
    wrong: list = dataclasses.field(default_factory=list)
    stale: list = dataclasses.field(default_factory=list)
    old: list = dataclasses.field(default_factory=list)
    unpurged: list = dataclasses.field(default_factory=list)

    @property
    def ok(self):
        return not (self.wrong or self.stale or self.old or self.unpurged)


class _Served:
    """What a host may have served at a time. Its publications came one after the other."""

    def __init__(self, publications):
        self._all = sorted(publications, key=lambda one: one.begin)
        acknowledged = [(one.end, index) for index, one in enumerate(self._all) if one.end < math.inf]
        self._ends = [end for end, _ in acknowledged]
        self._indices = [index for _, index in acknowledged]

    def contents(self, begin, end):
        """Of a call from `begin` to `end`: the newest that was acknowledged before it, and whatever came after that."""
        known = bisect.bisect_right(self._ends, begin)
        first = self._indices[known - 1] if known else 0
        found = set()
        for one in self._all[first:]:
            if one.begin > end:
                break
            found.add(one.content)
        return found


def judge(publications, calls, purges=(), bound=0.0, shared=False):
    """`bound`: seconds after a purge's acknowledgement until other hosts have it, too; `shared`: hosts share answers."""
    verdict = Verdict()
    published = {one.content for one in publications}
    hosts = {one.host for one in publications} | {one.host for one in calls}
    served = {host: _Served([one for one in publications if one.host == host]) for host in hosts}
    for call in calls:
        verdict.calls += 1
        if call.answer is None:
            continue
        verdict.answered += 1
        verdict.uses[call.use] = verdict.uses.get(call.use, 0) + 1
        content, question = divmod(call.answer, STEP)
        if question != call.key or content not in published:
            verdict.wrong.append(call)
        elif content not in served[call.host].contents(call.begin, call.end):
            (verdict.stale if call.use in FROM_CACHE else verdict.old).append(call)
    verdict.unpurged = list(_unpurged(calls, purges, bound, shared))
    return verdict


class _Newest:
    """The greatest value among those that come with a time, up to a time."""

    def __init__(self, pairs):
        self._times, self._greatest = [], []
        for time, value in sorted(pairs):
            self._times.append(time)
            self._greatest.append(max(value, self._greatest[-1]) if self._greatest else value)

    def before(self, time):
        """Of all whose time is less."""
        known = bisect.bisect_left(self._times, time)
        return self._greatest[known - 1] if known else -math.inf


def _unpurged(calls, purges, bound, shared):
    """Cached answers that nobody can have computed since the newest purge that must hold."""
    if not purges:
        return
    # What may have filled the cache, by key. A call that failed may have, whatever its content.
    fills = {}
    for call in calls:
        if call.answer is None or call.use in COMPUTED:
            fills.setdefault((None if shared else call.host, call.key), []).append((call.begin, call.end))
    fills = {key: _Newest(of_key) for key, of_key in fills.items()}
    hosts = {call.host for call in calls}
    holding = {host: _Newest([(one.end + (0 if one.host == host else bound), one.begin) for one in purges]) for host in hosts}
    nothing = _Newest([])
    for call in calls:
        if call.use not in ("hit", "stale") or call.answer is None:
            continue
        purged = holding[call.host].before(call.begin)
        if purged > -math.inf and fills.get((None if shared else call.host, call.key), nothing).before(call.end) <= purged:
            yield call
