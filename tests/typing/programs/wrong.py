"""A user's program whose every line with the word `wrong` behind it is a mistake."""

import msgspec

from tempotask import Context, Job, JobOptions, QueueManager, Retry, Task


class Thumb(msgspec.Struct):
    path: str


class App:
    model = "a model"


class OtherApp:
    pass


tempotask = QueueManager.init(ctx=App)


@tempotask.task(queue="images")
def thumbnail(job: Job[Thumb], ctx: Context[App]) -> str:
    print(ctx.app.nothing)  # wrong
    print(job.data.colour)  # wrong
    return job.data.path


@tempotask.task(queue="images")
async def resize(job: Job[Thumb], ctx: Context[App]) -> int:
    return len(job.data.path)


def other(job: Job[Thumb], ctx: Context[OtherApp]) -> str:
    return "out.png"


def one_argument(job: Job[Thumb]) -> str:
    return "out.png"


tempotask.register_job(name="other", queue="images", handler=other)  # wrong
tempotask.register_job(name="one", queue="images", handler=one_argument)  # wrong
tempotask.task(queue="images")(one_argument)  # wrong
Task[Thumb, int](name="thumb3", queue="images", handler=lambda job, ctx: job.data.path)  # wrong

thumbnail.enqueue({"path": "a.png"})  # wrong
thumbnail.enqueue("a.png")  # wrong
thumbnail.enqueue(Thumb("a.png"), priority="high")  # wrong
thumbnail.enqueue(Thumb("a.png"), prioritty=5)  # wrong
number: int = thumbnail.enqueue(Thumb("a.png")).result()  # wrong
text: str = resize.enqueue(Thumb("a.png")).result()  # wrong
thumbnail.enqueue(Thumb("a.png"), retry_on=OSError)  # wrong
tempotask.task(queue="images", retry_on="OSError")  # wrong
tempotask.task(queue="images", fail_on=[OSError("x")])  # wrong
Retry(after="soon")  # wrong
tempotask.get_jobs(limits=5)  # wrong
tempotask.cancel_job_by_id(5)  # wrong
JobOptions(atempts=5)  # wrong
JobOptions(backoff="steep")  # wrong
thumbnail.map(["a.png"])  # wrong
thumbnail.map([Thumb("a.png")], on_error="ignore")  # wrong
thumbnail.map([Thumb("a.png")], in_flight="many")  # wrong
widths: list[int] = list(thumbnail.map([Thumb("a.png")]))  # wrong
names: list[str] = list(thumbnail.map([Thumb("a.png")], on_error="yield"))  # wrong


async def consume() -> None:
    async for width in resize.amap([Thumb("a.png")]):
        name: str = width  # wrong
        print(name)
    number: int = await thumbnail.enqueue(Thumb("a.png"))  # wrong
    text: str = await resize.aenqueue(Thumb("a.png"))  # wrong
    jobs: int = await tempotask.aget_jobs(limit=5)  # wrong
    await tempotask.aretry_jobs(quee="images")  # wrong
    print(number, text, jobs)
