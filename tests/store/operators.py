"""People who act on jobs: they pause, resume, cancel, delete, try again, listen, and schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import rule
from mirror import LIMIT
from play import act, addition, revision
from seen import Seen
from stage import MOST_JOBS, QUEUES, Stage, fates, queues, some

from tempotask import Repeat
from tempotask.store.addition import named
from tempotask.store.pages import decode_finished, decode_raw_page
from tempotask.store.records import FINISHED, Record, decode_record, encode, flag
from tempotask.store.schedules import Schedule, job_id
from tempotask.store.script import Argument

ACTIONS = ("cancel", "cancel", "delete", "pause", "resume", "resume")
Place = tuple[Argument, ...]
"""Where act.lua is to look: a kind of place, and what it needs to know of it."""


class Operators(Stage):
    """They act on jobs, wherever these are."""

    @rule(queue=queues, what=st.sampled_from(["pause", "resume", "resume"]), fate=fates)
    def pause_queue(self, queue: str, what: str, fate: str) -> None:
        def deliver() -> None:
            self.check(self.store.change("pause", what, queue), self.model.pause(what, queue))

        self.send(fate, deliver, fenced=False)

    @rule(which=some, action=st.sampled_from(ACTIONS), fate=fates)
    def act_on_one(self, which: int, action: str, fate: str) -> None:
        """One job is looked for, and acted on where it was seen; it may be elsewhere by then."""
        fitting = [place for place in self.places() if self.allows(action, place)]
        # What is claimed has the most ways to go wrong.
        claimed = [place for place in fitting if place[0] == "claims"]
        handed = [place for place in claimed if self.model.workers[str(place[1])].handed]
        claimed = handed or claimed
        fitting = claimed if claimed and which % 2 else fitting
        if not fitting:
            return
        place = fitting[which // 2 % len(fitting)]
        ids = sorted(self.ids_in(place))
        id = ids[which // 8 % len(ids)]
        if place[0] == "parked":
            place = ("parked", "", 10, "WDR")
        self.send(fate, lambda: self.deliver_act(action, place, id=id), fenced=False)

    @rule(
        action=st.sampled_from(["cancel", "delete"]),
        queue=st.sampled_from(["", *QUEUES]),
        name=st.sampled_from(["", "n0", "n1"]),
        which=some,
        count=st.integers(1, 8),
        fate=fates,
    )
    def act_on_many(self, action: str, queue: str, name: str, which: int, count: int, fate: str) -> None:
        """All of a queue or a name that are in one place, a few at a time."""
        fitting = [
            place for place in self.places(count) if not (place[0] == "list" and queue not in ("", place[1][-1:]))
        ]
        if not fitting:
            return
        place = fitting[which % len(fitting)]
        if self.walk(action, place, queue, name, fate):
            left = [record for record in map(decode_record, self.held_in(place)) if fits(record, "", queue, name)]
            assert not left, "who went through a place has acted on all that were there"

    def walk(self, action: str, place: Place, queue: str, name: str, fate: str) -> bool:
        """Goes through a place step by step. Whether it came to the end."""

        def deliver() -> tuple[int, str]:
            return self.deliver_act(action, place, queue=queue, name=name)

        told = self.send(fate, deliver, fenced=False)
        if told is None or not told[1]:
            return told is not None
        at = 1 if place[0] == "parked" else 2
        return self.walk(action, (*place[:at], told[1], *place[at + 1 :]), queue, name, fate)

    def places(self, count: int = 100) -> list[Place]:
        """Where jobs are that have not finished."""
        lists = {
            f"queue:{priority}:{queue}": line
            for queue, lines in self.model.lines.items()
            for priority, line in lines.items()
        }
        return [
            *(("list", key, 0, count) for key, line in sorted(lists.items()) if line),
            *(("set", name, 0, count) for name in ("due", "retries") if getattr(self.model, name)),
            *([("parked", "0", count, "WDR")] if self.model.parked else []),
            *(("claims", name) for name, held in self.model.workers.items() if any(held.claims)),
        ]

    def allows(self, action: str, place: Place) -> bool:
        if action == "pause":
            return place[0] in ("list", "set")
        return action != "resume" or place[0] == "parked"

    def held_in(self, place: Place) -> list[bytes]:
        """The records that the model has there."""
        what, *rest = place
        if what == "list":
            _, priority, queue = str(rest[0]).split(":", 2)
            return list(self.model.lines[queue][int(priority)])
        if what == "claims":
            held = self.model.workers.get(str(rest[0]))
            return [encoded for encoded in held.claims if encoded] if held else []
        if what == "parked":
            return [encoded for _, _, encoded in self.model.parked.values()]
        return list(getattr(self.model, str(rest[0])))

    def ids_in(self, place: Place) -> set[str]:
        return {decode_record(encoded).id for encoded in self.held_in(place)}

    def deliver_act(self, action: str, place: Place, id: str = "", queue: str = "", name: str = "") -> tuple[int, str]:
        """Acts, and learns from the server which jobs it met; they must be such jobs, and were there."""
        self.sound = False
        before = self.held_in(place)
        told = act(self.store, action, *place, id=id, queue=queue, name=name, limit=LIMIT)
        after = set(self.server_in(place))
        taken = [encoded for encoded in before if encoded not in after]
        assert len(taken) == told[0]
        assert all(fits(decode_record(encoded), id, queue, name) for encoded in taken)
        if id and place[-1] != 1:
            assert not [encoded for encoded in before if decode_record(encoded).id == id and encoded in after]
        what = {"list": "queue", "set": str(place[1])}.get(str(place[0]), str(place[0]))
        self.model.act(action, what, taken)
        self.arrived()
        return told

    def server_in(self, place: Place) -> list[bytes]:
        seen, (what, *rest) = Seen(self.store), place
        if what == "list":
            return list(seen.get(str(rest[0]), []))
        if what == "claims":
            open = seen.get(f"worker:{rest[0]}", {}).get("open", b"").decode()
            return list(seen.get(f"claims:{rest[0]}:{open}", []))
        if what == "parked":
            return [told.partition(b" ")[2] for told in seen.get("parked", {}).values()]
        return list(seen.get(str(rest[0]), {}))

    # -- finished jobs

    @rule(which=some, again=st.booleans(), fate=fates)
    def revise(self, which: int, again: bool, fate: str) -> None:
        """A finished job is tried again, or deleted."""
        found: list[Callable[[], None]] = []
        for key, pages in sorted(Seen(self.store).under("history:")):
            queue, _, status = key.rpartition(":")
            for page in pages:
                for index, raw in enumerate(decode_raw_page(page).jobs):
                    record = decode_finished(raw).record
                    if not (again and flag(record, "g")):
                        found.append(self.revising(queue, status, page, index, record, again))
        if found and self.jobs < MOST_JOBS:
            self.jobs += again
            self.send(fate, found[which % len(found)], fenced=False)

    def revising(
        self, queue: str, status: str, page: bytes, index: int, record: Record, again: bool
    ) -> Callable[[], None]:
        assert status in FINISHED
        forget = not again and self.model.tells_of(record.id, status)
        arguments = revision(queue, status, page, index, again, forget)

        def deliver() -> None:
            self.store.outcomes_of([])
            pages = self.store.read("LRANGE", f"history:{queue}:{status}", 0, -1)
            expected = self.model.revise(arguments, pages, index, again)
            if again and expected == [1]:
                same = [encoded for encoded in self.starts if decode_record(encoded).id == record.id]
                for encoded in same:
                    del self.starts[encoded]
            self.check(self.store.change("revise", *arguments), expected)

        return deliver

    # -- events, schedules

    @rule(lasting=st.sampled_from([True, False]))
    def listen(self, lasting: bool) -> None:
        self.store.run("listen", "me", 3_600_000 if lasting else "")
        self.model.listen(lasting)
        self.arrived()

    @rule(
        what=st.sampled_from(["put", "put", "take away"]), id=st.sampled_from(["a0", "daily"]), queue=queues, fate=fates
    )
    def schedule(self, what: str, id: str, queue: str, fate: str) -> None:
        if what != "put":
            self.send(
                fate,
                lambda: self.check(self.store.change("unschedule", id), self.model.remove(id)),
                fenced=False,
            )
            return
        call, version, first = self.store.new_call(), f"a{next(self.serials)}", 1000
        definition = encode(Schedule(id, queue, "n0", Repeat(every=1), added_at=1.0))
        self.send(
            fate,
            lambda: self.check(
                self.store.run("schedule", *named(call), id, queue, version, first, definition, "", "", ""),
                self.model.schedule(call, id, queue, version, first),
            ),
        )

    @rule(which=some, fate=fates, twice=st.booleans())
    def fire(self, which: int, fate: str, twice: bool) -> None:
        """A supervisor has a schedule fire; so does another one, which saw the same."""
        if not self.model.schedules or self.jobs >= MOST_JOBS:
            return
        id = sorted(self.model.schedules)[which % len(self.model.schedules)]
        seen = replace(self.model.schedules[id])
        firing, following = seen.due, seen.due + 1000
        before = job_id(id, seen.last) if seen.last else ""
        made = self.make(job_id(id, firing), QUEUES[which % 3], "plain")
        made.given_id = True
        body = addition("", [made]).body()
        arguments = (id, seen.version, seen.due, firing, following, "", "skip", before, "", *body)
        for _ in range(1 + twice):
            self.send(
                fate,
                lambda: self.check(
                    self.store.run("fire", *arguments), self.model.fire(id, seen, firing, following, body)
                ),
            )


def fits(record: Record, id: str, queue: str, name: str) -> bool:
    """Whether that job is meant; what is empty is any."""
    return id in ("", record.id) and queue in ("", record.queue) and name in ("", record.name)
