"""Heavy work, by who asks for it: what one person or one organization has under way takes no more than its share."""

import threading
from collections import Counter
from collections.abc import Callable

from shared.errors import Unavailable


class Admission:
    """Counts, in this process, what is under way for each person and each organization."""

    def __init__(self, *, of_organization: int, of_person: int) -> None:
        self._of_organization = of_organization
        self._of_person = of_person
        self._lock = threading.Lock()
        self._under_way: Counter[tuple[str | None, str]] = Counter()

    def enter(self, organization: str | None, person: int | None) -> Callable[[], None]:
        """Admits one more, until what is returned is called (once or several times).

        Raises:
            Unavailable: the person or the organization has its share already.
        """
        keys = ((organization, str(person)), (organization, "all"))
        with self._lock:
            if self._under_way[keys[0]] >= self._of_person or self._under_way[keys[1]] >= self._of_organization:
                self._forget(keys)
                raise Unavailable("Another export is under way; try again when it is done.")
            self._under_way.update(keys)
        is_in = threading.Lock()

        def leave() -> None:
            if is_in.acquire(blocking=False):
                with self._lock:
                    self._under_way.subtract(keys)
                    self._forget(keys)

        return leave

    def _forget(self, keys: tuple[tuple[str | None, str], ...]) -> None:
        for key in keys:
            if self._under_way[key] <= 0:
                del self._under_way[key]
