"""`tempotask top`: how the queues, the workers and the failures stand, again and again.

sampler.py   a thread that looks at the server (state.py), and does there what the keys ask for
screen.py    what is shown of that (tables.py), which row is selected, what a key means (keys.py)
terminal.py  the terminal: its size, its keys, and that nothing of us is left on it
"""
