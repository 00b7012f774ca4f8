"""Units spread over processes that end with the one that started them, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from dataflex.errors import UserError

Key = TypeVar("Key")
Item = TypeVar("Item")
Result = TypeVar("Result")

_job: Callable[[Any], Any]


def _begin(job: Callable[[Any], Any]) -> None:
    global _job
    _job = job
    # The pool is the parallelism; threads of the tokenizer below it would only get in each other's way.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run(item: Any) -> Any:
    return _job(item)


def run(
    job: Callable[[Item], Result], items: Mapping[Key, Item], workers: int
) -> Iterator[tuple[Key, Result]]:
    """Yield the result of each item with its key, as they come.

    Args:
        job: is sent to every process once.
        items: at most two a worker are under way.
        workers: processes.

    Raises:
        UserError: the job did, or a process was killed.
    """
    waiting = iter(items.items())
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(job,)
    )
    try:
        under_way: dict[Future[Result], Key] = {
            pool.submit(_run, item): key for key, item in islice(waiting, 2 * workers)
        }
        while under_way:
            finished, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in finished:
                yield under_way.pop(future), future.result()
            for key, item in islice(waiting, len(finished)):
                under_way[pool.submit(_run, item)] = key
    except BrokenProcessPool:
        raise UserError(
            "a worker was killed, most likely for want of memory: run the same command with fewer --workers; "
            "finished units are kept"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
