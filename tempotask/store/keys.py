"""Every key, in one table.

All keys of a namespace carry the same hash tag, so that they live on one node of a cluster. Scripts get one key,
the ring, and make the others from its prefix: the names below are the ones they use.
"""

from __future__ import annotations

TABLE = {
    "ring": "list: queues with waiting jobs that are not paused, each once; a claim rotates it",
    "queues": "set: every queue that ever had a job",
    "paused": "set: queues of which nothing is claimed",
    "queue:<priority>:<queue>": "list: waiting records; what was taken out of the middle left a hole, an empty element",
    "priorities:<queue>": "sorted set: priorities in use, only for queues that use others than 0",
    "due": "sorted set: delayed records, by the millisecond from which they may run",
    "retries": "sorted set: records between two tries, likewise",
    "parked": "hash: id -> a job that was paused: W waiting, D delayed or R between tries, its milliseconds, record",
    "schedules": "hash: id -> a schedule: version, next, fired, last, when that was, definition (schedules.py)",
    "firings": "sorted set: ids of schedules, by the millisecond at which they are to be looked at",
    "withdrawn:<beginning>": "string: that jobs whose ids begin so are cancelled when they are given back, and how",
    "claims:<worker>:<turn>": "list: records as claimed, in the order of the batch; a hole is an empty element",
    "worker:<worker>": "hash: supervisor, turn (last number), open (turn of the open claims), holes; idle, want, room",
    "workers": "hash: worker -> supervisor",
    "lost": "hash: worker -> supervisor, of workers whose host was swept and whose jobs are being given back",
    "idle": "sorted set: idle workers by the time they went idle; the first is woken first",
    "wake:<worker>:<turn>": "list: what is handed over to a worker that went idle in that turn",
    "supervisors": "hash: supervisor -> its registration (host, boot, process, tasks)",
    "leases": "hash: supervisor -> the millisecond its lease runs out, or `swept`",
    "orders:<supervisor>": "list: what a supervisor is told",
    "standing:<supervisor>": "string: how its workers stand, told every second while somebody looks (standing.py)",
    "stacks:<question>": "list: what supervisors answer to `tempotask stacks`, for a minute",
    "ids": "hash: ids that users gave, of jobs that have not finished -> queue",
    "calls:<second>": "hash: calls of that second -> their answers (once.lua); of clients that may come again later, "
    "<second>.<milliseconds>",
    "payload:<number>:<id>": "string: a payload over 4 KiB; its run has the flag p<number>",
    "outcomes:<bucket>": "hash: id -> outcome; bucket is <expiry in ms>.<number>",
    "sheets:<bucket>": "list: outcomes that nobody has asked for, those of a turn in one piece (sheets.py)",
    "asked": "string: that somebody asked a moment ago, so that outcomes are not kept in sheets",
    "buckets": "sorted set: buckets by number, the oldest first",
    "results": "hash: how many outcomes and bytes there are, in all and by bucket",
    "waiters": "hash: id -> the clients that wait for it",
    "client:<client>": "string: that it waits, and lives; expires",
    "waits:<client>": "list: what a client is told: an id, a space, and the outcome if it is small; or a sheet",
    "wanted": "hash: id -> a mark, while somebody looks for that job; how many do; what changes all marks (find.lua)",
    "history:<queue>:<status>": "list: pages of finished jobs, the newest first",
    "live": "hash: id -> what a job that runs long tells: do listeners know, which start it is, the rest (say.lua)",
    "log:<id>": "list: lines that a job logged before its last try ended",
    "listeners": "sorted set: who listens to events, by the millisecond until which they count",
    "events": "stream: what happens, while somebody listens",
    "counts:<queue>": "hash: completed, failed, cancelled since the queue exists; now delayed, retries, parked (that "
    "waited), holes; cut: elements that went off the tails of its lists, ever; "
    "of its histories <status>:kept, and <status>:trimmed, which the last page holds still",
    "tokens": "counter: the highest fencing token, in microseconds since 1970 or above",
    "refused": "counter: results that came too late and were refused",
    "format": "string: the version of all this",
}


def prefix(namespace: str) -> str:
    """What every key of a namespace begins with."""
    return "{" + namespace + "}:"


def ring(namespace: str) -> str:
    """The one key that every script declares."""
    return prefix(namespace) + "ring"
