"""Everything that can break, broken on purpose under load, and counted. `python -m torture --help` says how."""
