"""How does the cost of a job grow? One question a file; what they share is in `server`, `driven`, `backlog` and `work`.

Measured is what the server does for a job. It is one process for all hosts, so that is what ends growth; how long it
takes on this machine's few cores says little.
"""
