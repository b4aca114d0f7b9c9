"""A model of the protocol: every interleaving of its moves is searched (docs/protocol.md).

    PYTHONPATH=tests python -m model

Each file is one noun. `scripts.py` and `leases.py` hold the moves of the server, named as the Lua scripts are;
`actions/` what workers, supervisors, producers and faults do; `invariants.py` what must hold; `scenarios.py` small
worlds, each searched to its end; `rules.py` the rules that can be left out one by one.
"""
