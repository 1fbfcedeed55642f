"""The short number of a recharge, which people read aloud and receipts have: the seller's number and that of the entry
which paid for it, as ``12-3456``.

No two recharges of an organization have the same one, and a sale does nothing for it: the ledger numbers a seller's
entries anyway, and both ways between a recharge and its entry are indexes.
"""

import re
from uuid import UUID

from credit.models import Entry, EntryKind
from recharge.models import Recharge
from shared.database import LARGEST_ID
from shared.errors import NotFound
from shared.texts import latin_digits, without_invisible

_WRITTEN = re.compile(r"\s*([0-9]{1,19})\s*[-‐‑‒–—−ـ/]\s*([0-9]{1,19})\s*")


def short_number(recharge_id: UUID, *, seller_id: int) -> str:
    """The number of a recharge of this seller.

    Raises:
        NotFound: nothing was paid for it, so there is none.
    """
    debit = Entry.objects.filter(kind=EntryKind.RECHARGE, reference=recharge_id).values_list("number", flat=True)
    number = debit.first()
    if number is None:
        raise NotFound("There is no such recharge.")
    return f"{seller_id}-{number}"


def recharge_of_short_number(written: str, *, seller_id: int | None) -> Recharge | None:
    """The recharge with this number, in any digits and with any dash; with ``seller_id``, only if it is that seller's.
    None: there is none, or it is no such number."""
    found = _WRITTEN.fullmatch(latin_digits(without_invisible(written)))
    if found is None:
        return None
    of_seller, number = int(found[1]), int(found[2])
    if max(of_seller, number) > LARGEST_ID or seller_id not in (None, of_seller):
        return None
    debit = Entry.objects.filter(seller_id=of_seller, number=number, kind=EntryKind.RECHARGE)
    reference = debit.values_list("reference", flat=True).first()
    return None if reference is None else Recharge.objects.filter(pk=reference).first()
