"""A plugin of pytest: what is stopped from outside leaves no server behind."""

from torture.stopping import allow

allow()
