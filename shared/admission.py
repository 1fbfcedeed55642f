"""What one has under way in a process takes no more than its share of what all of them may have."""

import threading
from collections import Counter
from collections.abc import Callable, Hashable

from shared.errors import Unavailable


class Admission:
    """Counts, in this process, what is under way: of each group (an organization, say), and of each one in it."""

    def __init__(self, *, of_group: int, of_one: int) -> None:
        self._of_group = of_group
        self._of_one = of_one
        self._lock = threading.Lock()
        self._under_way: Counter[Hashable] = Counter()

    def enter(self, group: str | None, one: Hashable) -> Callable[[], None]:
        """Admits one more, until what is returned is called (once or several times).

        Raises:
            Unavailable: this one or the group has its share already.
        """
        of_group, of_one = (group,), (group, one)
        with self._lock:
            if self._under_way[of_one] >= self._of_one or self._under_way[of_group] >= self._of_group:
                raise Unavailable("As many as may be are under way; try again when one is done.")
            self._under_way.update((of_group, of_one))
        is_in = threading.Lock()

        def leave() -> None:
            if is_in.acquire(blocking=False):
                with self._lock:
                    self._under_way.subtract((of_group, of_one))
                    self._under_way += Counter()  # without those that have nothing under way any more

        return leave
