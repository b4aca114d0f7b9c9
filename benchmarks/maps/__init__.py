"""`tempotask map`: a command against other commands, its start and its end included."""
