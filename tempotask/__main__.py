"""`python -m tempotask` is the command `tempotask`, where that is not on the path."""

from tempotask.cli.__main__ import main

if __name__ == "__main__":
    main()
