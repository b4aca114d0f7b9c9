"""An application that configures `logging` in the simplest way."""

import logging
from typing import Any

from tempotask import Context, Job, QueueManager

logging.basicConfig(level=logging.INFO, format="at %(levelname)s: %(message)s")

tempotask = QueueManager.init()


@tempotask.task(queue="q")
def note(job: Job[str], ctx: Context[Any]) -> None:
    logging.info(job.data)


class Bare(logging.Formatter):
    """As hand-written ones are."""

    def __init__(self) -> None:
        pass

    def format(self, record: logging.LogRecord) -> str:
        return f"bare {record.getMessage()}"


logging.getLogger("bare").addHandler(logging.StreamHandler())
logging.getLogger("bare").handlers[0].setFormatter(Bare())
shop = logging.getLogger("shop")
shop.propagate = False
shop.addHandler(logging.StreamHandler())
shop.handlers[0].setFormatter(logging.Formatter("{levelname} of {name}: {message}", style="{"))


@tempotask.task(queue="q")
def named(job: Job[str], ctx: Context[Any]) -> None:
    shop.info(job.data)
    logging.getLogger("bare").info("as it is")
