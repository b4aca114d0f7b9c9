"""The web service: takes orders, says how far they are, hands out what they gave. It computes nothing itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from digits import pi, tempotask
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from tempotask import JobCancelled, JobFailed, JobNotFound, ResultExpired, ServerFull, ServerUnavailable


@asynccontextmanager
async def lifespan(web: FastAPI) -> AsyncIterator[None]:
    """Connections are made when they are needed. At the end they are let go; the jobs stay, and go on."""
    yield
    await tempotask.aclose()


web = FastAPI(title="Digits of π", lifespan=lifespan)


class Order(BaseModel):
    digits: int = Field(ge=1, le=20_000)


@web.post("/orders", status_code=202)
async def order(order: Order) -> dict[str, str]:
    """Answers at once: the job is in the queue, whatever happens to this process."""
    handle = await pi.aenqueue(order.digits)
    return {"id": handle.id}


@web.get("/orders/{id}")
async def status(id: str) -> dict[str, object]:
    """How far it is."""
    job = await tempotask.aget_job_by_id(id)
    if job is None:
        raise HTTPException(404, "there is no such order")
    digits = 0 if job.progress is None else int(job.progress.done)
    return {"id": id, "status": job.status, "digits": digits, "error": job.error}


@web.get("/orders/{id}/result")
async def result(id: str, response: Response, wait: Annotated[float, Query(ge=0, le=30)] = 0) -> dict[str, object]:
    """The digits, for which it waits a while; 202 when they are not there yet."""
    try:
        return {"id": id, "pi": await tempotask.handle(id).aresult(timeout=wait)}
    except TimeoutError:
        response.status_code = 202
        return {"id": id, "pi": None}
    except JobNotFound:
        raise HTTPException(404, "there is no such order") from None
    except (JobCancelled, ResultExpired) as gone:
        raise HTTPException(410, str(gone)) from None
    except JobFailed as failed:
        raise HTTPException(500, f"{failed.type}: {failed.message}") from None


@web.delete("/orders/{id}")
async def cancel(id: str) -> dict[str, object]:
    """Ends it, wherever it is."""
    return {"id": id, "cancelled": await tempotask.acancel_job_by_id(id)}


@web.exception_handler(ServerUnavailable)
@web.exception_handler(ServerFull)
async def later(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "the queue takes nothing now"}, 503, {"Retry-After": "10"})
