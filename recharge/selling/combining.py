"""Sales of one seller that meet in one process are sold together.

A seller's sales queue for the seller's lock, and each holds it until its COMMIT is on the disk; however many threads
send them, the disk and the hand-over of the lock set the pace. So while one call is on its way to the database, those
that arrive for the same seller gather, and the next call takes them all: one lock, one transaction, one COMMIT for as
many sales as waited. It is group commit for one hot row; the technique is known as flat combining (Hendler, Incze,
Shavit and Tzafrir, "Flat Combining and the Synchronization-Parallelism Tradeoff", 2010).

Nobody waits in order to be combined: a sale that meets no other goes straight to the database. Everybody returns after
the COMMIT of their own sale, as they would alone.
"""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from shared.errors import SellerBusy

Key = TypeVar("Key", bound=Hashable)
Order = TypeVar("Order")
Result = TypeVar("Result")


class Combiner(Generic[Key, Order, Result]):
    """Carries out orders, one call for each key at a time; the orders that come meanwhile are the next call."""

    def __init__(self, call: Callable[[Key, list[Order]], list[Result]], largest: int) -> None:
        """``call`` takes a key and 1 to ``largest`` orders, and gives a result for each, in their order."""
        self._call = call
        self._largest = largest
        self._lock = threading.Lock()
        self._gathered: dict[Key, list[_Gathered[Order, Result]]] = {}
        """By key that has a call under way: who waits for it to end."""

    def carry_out(self, key: Key, order: Order) -> Result:
        """The order's result, or the error of the call that it was part of.

        A call that finds the seller busy fails for everyone in it and for everyone who waits for it: nobody waits for
        longer than alone. One that fails in another way may do so because of one order: then each of them is carried
        out alone.
        """
        with self._lock:
            gathered = self._gathered.get(key)
            if gathered is None:
                self._gathered[key] = []
            else:
                mine = _Gathered[Order, Result](order)
                gathered.append(mine)
        if gathered is None:
            return self._lead(key, order, [])
        try:
            mine.woken.acquire()
        except BaseException:  # an interrupt: nobody must wait for one who has gone
            self._leave(key, mine)
            raise
        if mine.leads is not None:
            return self._lead(key, order, mine.leads)
        if mine.is_busy:
            raise SellerBusy
        return self._call(key, [order])[0] if mine.result is None else mine.result

    def _lead(self, key: Key, order: Order, others: "list[_Gathered[Order, Result]]") -> Result:
        try:
            results = self._call(key, [order, *(other.order for other in others)])
            for other, result in zip(others, results[1:], strict=True):
                other.result = result
            return results[0]
        except SellerBusy:
            with self._lock:
                others = others + self._gathered[key]
                self._gathered[key] = []
            for other in others:
                other.is_busy = True
            raise
        except Exception:
            if not others:
                raise
        finally:
            # First the next call, which the database waits for; then the answers.
            self._hand_over(key)
            for other in others:
                other.woken.release()
        return self._call(key, [order])[0]

    def _hand_over(self, key: Key) -> None:
        with self._lock:
            gathered = self._gathered[key]
            if not gathered:
                del self._gathered[key]
                return
            self._gathered[key] = gathered[self._largest :]
            leader, *others = gathered[: self._largest]
            leader.leads = others
        leader.woken.release()

    def _leave(self, key: Key, mine: "_Gathered[Order, Result]") -> None:
        with self._lock:
            if mine in self._gathered.get(key, []):
                self._gathered[key].remove(mine)
                return
            leads = mine.leads
        if leads is not None:  # it was to lead; so let the next one
            with self._lock:
                self._gathered[key] = leads + self._gathered[key]
            self._hand_over(key)


class _Gathered(Generic[Order, Result]):
    """An order that came while another was carried out, and what its thread finds when it is woken."""

    __slots__ = ("is_busy", "leads", "order", "result", "woken")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.leads: list[_Gathered[Order, Result]] | None = None
        """These are its to carry out, after its own in the same call; else:"""
        self.is_busy = False
        self.result: Result | None = None
        """None: the call failed, and nothing was done."""
        self.woken = threading.Lock()
        self.woken.acquire()
