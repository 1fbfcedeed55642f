"""What the web processes of a server know of each other: whether organizations sell beside one.

What takes long rests then between two turns (saas/seats.py), so that a sale finds a processor free. The sale may well
come to another process than the bulk call. Whatever is quick counts as a sale here (Kind.QUICK): who signs in or
asks what became of a recharge waits for a processor, too, and of whom it is known no sooner than at its end whether it
was one.
"""

import mmap
import os
import struct
import time
import zlib
from pathlib import Path

LATELY_SECONDS = 1.0
"""Who sold so lately sells."""

REST, MOST_REST_SECONDS = 2.0, 0.5
"""While others sell, and processors are busy, an organization goes on with what takes long only after so many times the
seconds that it has worked at it, and after so many seconds at most."""

REST_OF_HEAVY = 4.0
"""In the place of ``REST`` after what adds up or writes thousands of rows, which keeps a processor of the database busy
besides. (The p99 of another one's sale beside 20 bulk calls was 2.4 to 3.5 times that alone, 2.5 in the median; with
2.0 it was 3.1 to 4.3, and 3.2. Bulk calls: 5 a second where there were 7.)"""

_SALE = struct.Struct("dd")
"""Who sold, as a number made of the name, and when."""


class Neighbours:
    """The last two organizations that sold, in memory that processes share which were forked after this was made.

    Without a lock: where two write at once, for a moment one of them is missed.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 2 * _SALE.size)

    def sells(self, organization: str) -> None:
        """This one sells now."""
        who, last = _number(organization), _SALE.unpack_from(self._memory)
        if who != last[0]:
            _SALE.pack_into(self._memory, _SALE.size, *last)
        _SALE.pack_into(self._memory, 0, who, time.monotonic())

    def others_sell(self, organization: str) -> bool:
        """Whether another one than this sold lately."""
        who, since = _number(organization), time.monotonic() - LATELY_SECONDS
        return any(seller != who and moment > since for seller, moment in _SALE.iter_unpack(self._memory[:]))

    def rest_after(self, seconds: float, organization: str, *, helpers: int = 0, times: float = REST) -> float:
        """How many seconds an organization rests after so many of what takes long: ``times`` as many. So many
        ``helpers``, which keep processors busy, work for it at this moment."""
        if not self.others_sell(organization) or not processors_are_busy(helpers):
            return 0.0
        return min(MOST_REST_SECONDS, times * seconds)


def processors_are_busy(but: int = 0) -> bool:
    """Whether more threads, ``but`` so many, want a processor at this moment, on the whole machine, than half of its
    processors."""
    try:
        running = Path("/proc/loadavg").read_text().split()[3].partition("/")[0]
    except OSError:  # no more files can be opened, say
        return False
    return int(running) - but > len(os.sched_getaffinity(0)) / 2


def _number(organization: str) -> float:
    return float(zlib.crc32(organization.encode()))
