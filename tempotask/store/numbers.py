"""Numbers that Python and the scripts share: script.py puts them, by these names, in front of every script."""

CHUNK = 1000
"""Jobs, ids or elements at most in one call, and in one command of a script: the server does nothing else meanwhile."""
LOG_LINES = 1000
"""Lines of a job that are kept; the newest."""
LOG_MS = 7 * 86_400_000
"""How long a log is kept after its last line."""
LISTENING_MS = 90_000
"""How long one who listens to events counts without saying so again: cut off for so long, it misses something."""
CLIENT_MS = 300_000
"""How long one who waits for jobs counts without asking again: who lives asks every minute."""
NOTICE_MS = 60_000
"""How long what somebody is told is kept until it is taken: outcomes, orders, answers."""
ASKED_MS = 1000
"""How long after somebody asked for an outcome no sheets are kept."""
MOST_TOLD = 67_108_864
"""Bytes of large outcomes, about, that wait for a client to take them: one that falls behind is told to ask instead."""
LARGEST_TOLD = 65_536
"""Bytes of outcomes, at most, that are told in one piece. More might hold some that are too large to tell."""
