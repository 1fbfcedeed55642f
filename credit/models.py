"""What an organization's schema stores of its sellers and their credit.

Balances and entries are written by the SQL function ``ledger_post`` alone (sql/ledger.sql); these models are for
reading them. Amounts are whole Tomans.
"""

from dataclasses import dataclass

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Func, Q

from shared.money import LARGEST_AMOUNT, LARGEST_BALANCE

DEEPEST_TREE = 5
"""The most levels of sellers, each the parent of the next."""


class Seller(models.Model):
    """Somebody who sells recharges on credit. The user who signs in as this seller is in the public schema."""

    name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="children")
    """The dealer whom this one sells for. Null: none. It and ``ancestors`` are written by seller_place alone
    (sql/dealers.sql)."""
    ancestors = ArrayField(models.BigIntegerField(), null=True)
    """The parent, the parent's parent and so on, the nearest first; null: none. A sale reads it without a walk."""
    switched_off_by = models.BigIntegerField(null=True)
    """The seller, a dealer, who has switched this one off and may switch it on again; null: nobody has, or the
    organization, which alone may."""
    shop_name = models.CharField(max_length=60, blank=True, default="", db_default="")
    """What customers read on receipts; empty: the name."""

    class Meta:
        indexes = [GinIndex(fields=["ancestors"], name="seller_ancestors")]
        constraints = [
            models.CheckConstraint(
                condition=Q(parent__isnull=True, ancestors__isnull=True)
                | Q(parent=F("ancestors__0"), ancestors__len__lt=DEEPEST_TREE),
                name="seller_ancestors",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Account(models.Model):
    """A seller's balance and the number of the seller's last entry: the row that every posting updates.

    It is apart from the seller so that the row that changes all the time is small and has no index but its key.
    """

    seller = models.OneToOneField(Seller, on_delete=models.PROTECT, primary_key=True)
    balance = models.BigIntegerField(default=0)
    last_number = models.BigIntegerField(default=0)
    last_moment = models.DateTimeField(null=True)
    """Of the last entry; the next one is after it. Null: there is none, or it is older than this column."""
    ran_back = models.BooleanField(db_default=False)
    """Whether an entry's time is before that of one with a lower number: the clock was set back by more than
    seller_moment (sql/ledger.sql) makes up for."""
    last_hash = models.BinaryField(null=True)
    """Of the last entry. Null: none has one yet."""
    alert_below = models.BigIntegerField(null=True)
    """Tomans; when the balance falls below it, an alert is raised (sql/alerts.sql). Null: never."""

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(balance__gte=0), name="account_balance_not_negative"),
            models.CheckConstraint(condition=Q(balance__lte=LARGEST_BALANCE), name="account_balance_bounded"),
            models.CheckConstraint(condition=Q(last_number__gte=0), name="account_last_number_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.balance} Tomans"


class EntryKind(models.TextChoices):
    """Why a balance changed. ``ENTRY_KINDS`` says what each kind does; pages/words.py what it is called."""

    CREDIT = "credit"
    RECHARGE = "recharge"
    REFUND = "refund"
    LATE_CHARGE = "late_charge"
    """A recharge that had failed, and was refunded, turned out to have been delivered."""
    REVERSAL = "reversal"
    """A recharge that had succeeded was taken back by the operator."""
    ADJUSTMENT = "adjustment"
    TRANSFER_OUT = "transfer_out"
    """To the seller's parent, or to a child."""
    TRANSFER_IN = "transfer_in"
    MARGIN = "margin"
    """What a dealer earns by the sales of those below."""
    MARGIN_BACK = "margin_back"
    """Margins taken back, of recharges that were refunded."""


@dataclass(frozen=True, slots=True)
class KindOfEntry:
    """What entries of a kind do: ``sign`` is 1 or -1 (0: either); ``document`` is what their reference is the id of,
    and the name of its page."""

    sign: int
    document: str


ENTRY_KINDS = {
    EntryKind.CREDIT: KindOfEntry(1, "credit_request"),
    EntryKind.RECHARGE: KindOfEntry(-1, "recharge"),
    EntryKind.REFUND: KindOfEntry(1, "recharge"),
    EntryKind.LATE_CHARGE: KindOfEntry(-1, "recharge"),
    EntryKind.REVERSAL: KindOfEntry(1, "recharge"),
    EntryKind.ADJUSTMENT: KindOfEntry(0, "adjustment"),
    EntryKind.TRANSFER_OUT: KindOfEntry(-1, "transfer"),
    EntryKind.TRANSFER_IN: KindOfEntry(1, "transfer"),
    EntryKind.MARGIN: KindOfEntry(1, "margin_batch"),
    EntryKind.MARGIN_BACK: KindOfEntry(-1, "margin_batch"),
}


def kinds_of_document(document: str) -> tuple[str, ...]:
    """The kinds of entries whose reference is the id of such a document."""
    return tuple(kind.value for kind, does in ENTRY_KINDS.items() if does.document == document)


class EntryIsSound(Func):
    """Whether an amount and a commission have the signs of their kind; sql/ledger.sql has the function."""

    function = "entry_is_sound"
    output_field = models.BooleanField()


class Entry(models.Model):
    """One change of a balance. Entries are only ever added; the database refuses anything else."""

    Kind = EntryKind

    id = models.UUIDField(primary_key=True, editable=False)
    """UUIDv7 of ``created_at``: sorts by time, see sql/uuid7.sql."""
    seller = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False)
    number = models.BigIntegerField()
    """1, 2, 3 … for each seller, without a gap."""
    kind = models.CharField(max_length=12, choices=Kind, db_collation="C")
    amount = models.BigIntegerField()
    commission = models.BigIntegerField(default=0, db_default=0)
    """What the seller earns by a recharge, in Tomans, and with the other sign than ``amount``: the balance changes by
    the sum of both. 0 for kinds that are not a recharge's."""
    balance_after = models.BigIntegerField()
    reference = models.UUIDField()
    """The document that caused it: ENTRY_KINDS says of which kind."""
    created_at = models.DateTimeField()
    hash = models.BinaryField(null=True)
    """SHA-256 over this entry and the hash of the seller's entry before it (sql/ledger.sql). Null: it is older than
    the chain."""

    class Meta:
        verbose_name_plural = "entries"
        indexes = [
            models.Index(fields=["seller", "id"], name="entry_seller"),
            # All but a few entries are recharges; the others are found among millions of them, and cost a sale nothing.
            models.Index(fields=["kind", "id"], condition=~Q(kind="recharge"), name="entry_kind"),
            models.Index(fields=["seller", "kind", "number"], condition=~Q(kind="recharge"), name="entry_seller_kind"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["seller", "number"], name="entry_number"),
            models.UniqueConstraint(fields=["kind", "reference"], name="entry_reference"),
            models.CheckConstraint(condition=Q(number__gte=1), name="entry_number_positive"),
            models.CheckConstraint(condition=Q(balance_after__gte=0), name="entry_balance_not_negative"),
            models.CheckConstraint(condition=EntryIsSound("kind", "amount", "commission"), name="entry_sign"),
        ]

    def __str__(self) -> str:
        return f"{self.number}: {self.kind} {self.amount}"


class CreditRequest(models.Model):
    """A seller's request for credit, and what an admin decided."""

    class Status(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        REJECTED = "rejected"

    id = models.UUIDField(primary_key=True, editable=False)
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, db_index=False)
    idempotency_key = models.CharField(max_length=255, db_collation="C")
    amount = models.BigIntegerField()
    note = models.CharField(max_length=500, blank=True)
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING, db_collation="C")
    reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=150, blank=True)
    """The admin's username as it was then."""
    decided_by_id = models.BigIntegerField(null=True)
    bank_reference = models.CharField(max_length=100, blank=True, default="", db_default="", db_collation="C")
    """Of the payment that it is asked for; empty: none was given."""
    first_approved_at = models.DateTimeField(null=True)
    """Where two people must approve: when the first did."""
    first_approved_by = models.CharField(max_length=150, blank=True, default="", db_default="")
    first_approved_by_id = models.BigIntegerField(null=True)
    parent = models.ForeignKey(Seller, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    """The dealer of whom it is asked, who gives of his own; null: the organization."""

    class Meta:
        indexes = [
            models.Index(fields=["seller", "id"], name="credit_request_seller"),
            models.Index(
                fields=["parent", "status", "id"], condition=Q(parent__isnull=False), name="credit_request_parent"
            ),
            models.Index(fields=["status", "id"], name="credit_request_status"),
        ]
        constraints = [
            # The key first: an admin looks for one without knowing whose it is.
            models.UniqueConstraint(fields=["idempotency_key", "seller"], name="credit_request_key"),
            models.UniqueConstraint(
                fields=["bank_reference"],
                condition=~Q(bank_reference="") & ~Q(status="rejected"),
                name="credit_request_bank_reference",
            ),
            models.CheckConstraint(
                condition=Q(amount__gte=1, amount__lte=LARGEST_AMOUNT), name="credit_request_amount"
            ),
            models.CheckConstraint(
                condition=Q(status="pending", decided_at__isnull=True)
                | Q(status__in=["approved", "rejected"], decided_at__gte=F("created_at")),
                name="credit_request_decided",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} Tomans, {self.status}"

    @property
    def approvals(self) -> int:
        """How many people have approved it until now: 0, 1 or 2."""
        return (self.first_approved_at is not None) + (self.status == self.Status.APPROVED)


class CreditRequestSlip(models.Model):
    """The picture of a slip, as it was written anew (slips/pictures.py). It is written by the SQL function in
    sql/slips.sql, while its request waits, and stays as it was when that is decided."""

    request = models.OneToOneField(CreditRequest, on_delete=models.PROTECT, primary_key=True, related_name="+")
    content = models.BinaryField()
    content_type = models.CharField(max_length=10)
    sha256 = models.BinaryField()
    """Of ``content``."""
    width = models.IntegerField()
    height = models.IntegerField()
    put_at = models.DateTimeField()
    put_by = models.CharField(max_length=150)
    """The username, or the key's name, as it was then."""

    def __str__(self) -> str:
        return f"{self.content_type}, {self.width} × {self.height}"


class Adjustment(models.Model):
    """A correction of a seller's balance by hand, in either direction. It is written by the SQL functions in
    sql/adjustments.sql, together with the entry that it posts."""

    Status = CreditRequest.Status

    id = models.UUIDField(primary_key=True, editable=False)
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, db_index=False)
    idempotency_key = models.CharField(max_length=255, db_collation="C")
    amount = models.BigIntegerField()
    """Tomans; negative: it is taken from the balance."""
    reason = models.CharField(max_length=500)
    reference = models.CharField(max_length=100, blank=True, default="")
    """What proves it elsewhere: a letter's number, a bank's reference."""
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING, db_collation="C")
    created_at = models.DateTimeField()
    asked_by = models.CharField(max_length=150)
    """The username as it was then."""
    asked_by_id = models.BigIntegerField()
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=150, blank=True, default="")
    """The username as it was then; who asked, where nobody else had to approve."""
    decided_by_id = models.BigIntegerField(null=True)
    decision_reason = models.CharField(max_length=500, blank=True, default="")
    """Of a rejection."""

    class Meta:
        indexes = [
            models.Index(fields=["seller", "id"], name="adjustment_seller"),
            models.Index(fields=["status", "id"], name="adjustment_status"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["idempotency_key", "asked_by_id"], name="adjustment_key"),
            models.CheckConstraint(
                condition=Q(amount__gte=-LARGEST_AMOUNT, amount__lte=LARGEST_AMOUNT) & ~Q(amount=0),
                name="adjustment_amount",
            ),
            models.CheckConstraint(
                condition=Q(status="pending", decided_at__isnull=True)
                | Q(status__in=["approved", "rejected"], decided_at__gte=F("created_at")),
                name="adjustment_decided",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} Tomans, {self.status}"


class Transfer(models.Model):
    """Credit that a seller has given to his parent or to a child: one document, two entries, of which the sum is 0. It
    is written by the SQL functions in sql/transfers.sql, together with its entries."""

    id = models.UUIDField(primary_key=True, editable=False)
    giver = models.ForeignKey(Seller, on_delete=models.PROTECT, db_index=False, related_name="+")
    receiver = models.ForeignKey(Seller, on_delete=models.PROTECT, db_index=False, related_name="+")
    idempotency_key = models.CharField(max_length=255, db_collation="C")
    amount = models.BigIntegerField()
    """Tomans."""
    note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    made_by = models.CharField(max_length=150, blank=True)
    """The username, or the key's name, as it was then."""
    user_id = models.BigIntegerField(null=True)
    key_id = models.UUIDField(null=True)
    credit_request = models.OneToOneField(CreditRequest, on_delete=models.PROTECT, null=True, related_name="+")
    """The child's request that it answers; null: none."""

    class Meta:
        indexes = [
            models.Index(fields=["giver", "id"], name="transfer_giver"),
            models.Index(fields=["receiver", "id"], name="transfer_receiver"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["idempotency_key", "giver"], name="transfer_key"),
            models.CheckConstraint(condition=Q(amount__gte=1, amount__lte=LARGEST_AMOUNT), name="transfer_amount"),
            models.CheckConstraint(condition=~Q(giver=F("receiver")), name="transfer_between_two"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} Tomans"


class Policy(models.Model):
    """The one row (its id is 1) of what an organization demands of its own people. Without it: the defaults."""

    four_eyes_from = models.BigIntegerField(null=True)
    """Tomans from which on an adjustment or a credit request needs two people; null: never."""
    time_zone = models.CharField(max_length=60, default="Asia/Tehran", db_default="Asia/Tehran")
    """The IANA name of the zone in which the organization's days begin: of limits, statements and periods."""
    requests_go_to_parent = models.BooleanField(default=False, db_default=False)
    """Whether a seller who has a parent asks that one for credit, not the organization."""

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="policy_one_row"),
            models.CheckConstraint(
                condition=Q(four_eyes_from__isnull=True) | Q(four_eyes_from__gte=1, four_eyes_from__lte=LARGEST_AMOUNT),
                name="policy_four_eyes_from",
            ),
        ]

    def __str__(self) -> str:
        return "policy"


class AccessEpoch(models.Model):
    """Below which epoch the access tokens of somebody are over: see shared/identity/epochs.py. Without a row: none."""

    subject = models.CharField(max_length=60, primary_key=True, db_collation="C")
    """As a token's ``sub`` names it: a user's id, or ``key:`` and an API key's."""
    epoch = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.subject}: {self.epoch}"


class AuditRecord(models.Model):
    """An act of a person or a program. Records are only ever added (sql/audit.sql); the database refuses anything else.

    It names users and keys without foreign keys: it outlives them.
    """

    at = models.DateTimeField()
    actor = models.CharField(max_length=150, blank=True, db_collation="C")
    """The username, or the key's name, as it was then. Empty: a command on the server, or nobody who is known."""
    user_id = models.BigIntegerField(null=True)
    key_id = models.UUIDField(null=True)
    address = models.CharField(max_length=45, blank=True)
    action = models.CharField(max_length=60, db_collation="C")
    """As in ``member.role_changed``: what was done to what kind of thing."""
    object = models.CharField(max_length=200, blank=True, db_collation="C")
    """What it was done to: a username, an id."""
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    request_id = models.CharField(max_length=128, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["action", "id"], name="audit_action"),
            models.Index(fields=["actor", "id"], name="audit_actor"),
            models.Index(fields=["at", "id"], name="audit_at"),
        ]

    def __str__(self) -> str:
        return f"{self.actor}: {self.action}"


class ChainRoot(models.Model):
    """The hashes of all sellers' last entries at the end of a day (UTC), as one, with the root before it. Roots are
    only ever added; the database refuses anything else."""

    day = models.DateField(primary_key=True)
    root = models.BinaryField()
    accounts = models.BigIntegerField()
    entries = models.BigIntegerField()
    """How many of them it covers, of all sellers."""
    sellers = ArrayField(models.BigIntegerField(), default=list)
    """The sellers whose entries it covers, ascending."""
    numbers = ArrayField(models.BigIntegerField(), default=list)
    """At the same place, the number of the seller's last entry that it covers."""
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.day}"


class WebhookEndpoint(models.Model):
    """An address of a seller's own system, or of the organization's, that is told what happens."""

    is_replay = False
    """Not stored: whether a request to make it, or its secret, found that made by the same request before."""

    class Event(models.TextChoices):
        RECHARGE_SUCCEEDED = "recharge.succeeded"
        RECHARGE_FAILED = "recharge.failed"
        RECHARGE_REVERSED = "recharge.reversed"
        RECHARGE_CHARGED = "recharge.charged"
        """What its seller owed for it was collected."""
        CREDIT_REQUEST_APPROVED = "credit_request.approved"
        CREDIT_REQUEST_REJECTED = "credit_request.rejected"
        TRANSFER_RECEIVED = "transfer.received"
        BALANCE_LOW = "balance.low"
        """A seller's balance has fallen below the threshold of the account."""
        CHAIN_ROOT = "chain.root"
        """The root of a day (sql/chain.sql); told to the organization's own webhooks alone."""

    class Disabled(models.TextChoices):
        NO = ""
        BY_HAND = "by_hand"
        GONE = "gone"
        """It answered 410."""
        FAILING = "failing"
        """Nothing has reached it for five days."""
        DELETED = "deleted"
        """Its rows are about to be removed; API and pages show it no more."""

    id = models.UUIDField(primary_key=True, editable=False)
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, null=True, db_index=False)
    """Whose events it gets; null: those of all sellers, for the organization itself."""
    url = models.CharField(max_length=2000)
    events = ArrayField(models.CharField(max_length=30, choices=Event))
    secret = models.TextField()
    """Encrypted (shared/outbound/secrets.py); so are those before it."""
    previous_secret = models.TextField(blank=True)
    """The secret before this one, and older ones that were still in use when it was replaced, a blank between them. Two
    rotations may follow each other before the receiver has learnt of the first: it still knows an older one."""
    previous_secret_until = models.DateTimeField(null=True)
    """Until then messages are signed with these, too."""
    creation_key = models.CharField(max_length=255, blank=True, default="", db_default="")
    """The Idempotency-Key of the request that made it, if it had one."""
    rotation_key = models.CharField(max_length=255, blank=True, default="", db_default="")
    """The same of the last one that made a new secret."""
    disabled = models.CharField(max_length=7, choices=Disabled, blank=True)
    failing_since = models.DateTimeField(null=True)
    """Of the first failure since the last message that arrived."""
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["seller", "id"], name="webhook_endpoint_seller")]

    def __str__(self) -> str:
        return self.url


class WebhookMessage(models.Model):
    """One event for one endpoint. It is written in the transaction of the change that it tells of, by webhook_emit."""

    class Status(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        FAILED = "failed"
        """Given up after a day, or when its endpoint was disabled."""

    id = models.UUIDField(primary_key=True, editable=False)
    """UUIDv7 of ``created_at``; with ``msg_`` before it, the ``webhook-id``, the same at each attempt."""
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, db_index=False)
    event = models.CharField(max_length=30, choices=WebhookEndpoint.Event)
    data = models.JSONField()
    status = models.CharField(max_length=9, choices=Status, default=Status.PENDING)
    attempts = models.IntegerField(default=0)
    """Since it was written, or last resent by hand."""
    due_at = models.DateTimeField(null=True)
    """When it is to be tried (again), or may be by another worker; null: never by itself."""
    give_up_at = models.DateTimeField()
    created_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)
    """The last time that it arrived; a resent one may do so twice."""

    class Meta:
        indexes = [
            models.Index(fields=["endpoint", "id"], name="webhook_message_endpoint"),
            # What waits for one endpoint, past whatever waits for a slow one. (None of due_at alone beside it:
            # PostgreSQL would take that one, and read all that waits for each endpoint.)
            models.Index(fields=["endpoint", "due_at"], condition=Q(due_at__isnull=False), name="webhook_message_lane"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status="pending", due_at__isnull=False)
                | Q(status="delivered", due_at__isnull=True, delivered_at__isnull=False)
                | Q(status="failed", due_at__isnull=True),
                name="webhook_message_status",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event}, {self.status}"

    @property
    def message_id(self) -> str:
        """The header ``webhook-id``."""
        return f"msg_{self.pk}"


class WebhookAttempt(models.Model):
    """One attempt to hand a message over."""

    message = models.ForeignKey(WebhookMessage, on_delete=models.CASCADE)
    attempted_at = models.DateTimeField()
    latency_ms = models.IntegerField()
    status_code = models.IntegerField(null=True)
    """Null: nothing was answered; ``error`` says why."""
    error = models.CharField(max_length=300, blank=True)
    answer = models.CharField(max_length=500, blank=True)
    """The beginning of the answer's body."""

    def __str__(self) -> str:
        return f"{self.status_code or self.error}"


class Alert(models.Model):
    """Something that people are to be told without asking. It is raised once, and cleared by itself when it is over;
    when it comes again, it is raised again (sql/alerts.sql). The organization is told, where a kind does not say that
    the seller is."""

    class Kind(models.TextChoices):
        BALANCE_LOW = "balance_low"
        """A seller's balance is below the threshold of the account. The seller is told."""
        UNKNOWN_OUTCOMES = "unknown_outcomes"
        """Nobody knows yet what became of recharges that were sold long ago."""
        OPERATOR_FAILING = "operator_failing"
        """Many of an operator's recharges fail."""
        REQUESTS_WAITING = "requests_waiting"
        """Credit requests have waited long for a decision."""
        CLAIMS_OVERDUE = "claims_overdue"
        """Questions about recharges that customers did not get have not been closed in time."""
        CLAIM_ANSWERED = "claim_answered"
        """Somebody has answered such a question. Its seller is told; it ends when he looks at it."""
        REFUNDED_TWICE = "refunded_twice"
        """An adjustment refunded a recharge that its operator reversed later. It ends when adjustments take it back."""

    id = models.UUIDField(primary_key=True, editable=False)
    """UUIDv7 of ``raised_at``."""
    kind = models.CharField(max_length=20, choices=Kind, db_collation="C")
    subject = models.CharField(max_length=40, blank=True, db_collation="C")
    """What it is about: the seller's id, the operator's code, the recharge's id; of what concerns all, nothing."""
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, null=True, db_index=False)
    """Whose it is; null: the organization's."""
    data = models.JSONField()
    """What was found: amounts in Tomans, counts, moments."""
    raised_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True)
    """When it was over; null: it is not."""
    read_at = models.DateTimeField(null=True)
    """When somebody said that it was read; then no page shows it as a line any more."""
    read_by = models.CharField(max_length=150, blank=True, default="", db_default="")
    """The username as it was then."""

    class Meta:
        indexes = [models.Index(fields=["seller", "id"], name="alert_seller")]
        constraints = [
            # Of two workers, or of two sales, one raises it.
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=Q(cleared_at__isnull=True), name="alert_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}".strip()


class AlertMessage(models.Model):
    """An alert, for one address on one channel: the outbox of all channels but webhooks, which have their own. It is
    written in the transaction that raises the alert; the worker sends it (alerts/sending.py)."""

    class Channel(models.TextChoices):
        MAIL = "mail"
        SMS = "sms"

    class Status(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"
        """Given up, or nobody can tell whether it arrived; ``error`` says which."""

    id = models.UUIDField(primary_key=True, editable=False)
    """UUIDv7 of ``created_at``; each attempt tells it to the receiver, which so knows a repetition."""
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, null=True, db_index=False)
    """Null: a test, or what ``text`` says."""
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, null=True, db_index=False)
    """To whose seller it goes; null: to the organization's own people."""
    channel = models.CharField(max_length=4, choices=Channel, db_collation="C")
    recipient = models.CharField(max_length=254, blank=True)
    """A mail address or a number (E.164). Empty: the address of the member who is the seller, as it is when it is
    sent."""
    status = models.CharField(max_length=7, choices=Status, default=Status.PENDING, db_collation="C")
    attempts = models.IntegerField(default=0)
    due_at = models.DateTimeField(null=True)
    """When it is to be tried (again), or may be by another worker; null: never by itself."""
    give_up_at = models.DateTimeField()
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True, default="")
    """Why the last attempt did not succeed."""
    text = models.CharField(max_length=500, blank=True, default="", db_default="")
    """What it says, where it is of no alert: a receipt, to a seller's customer."""

    class Meta:
        indexes = [
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="alert_message_due"),
            models.Index(fields=["alert"], condition=Q(alert__isnull=False), name="alert_message_alert"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status="pending", due_at__isnull=False)
                | Q(status__in=["sent", "failed"], due_at__isnull=True),
                name="alert_message_status",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel}, {self.status}"


class AlertPreference(models.Model):
    """How a seller is told of alerts. Without a row: by mail, and by no SMS."""

    seller = models.OneToOneField(Seller, on_delete=models.PROTECT, primary_key=True)
    by_mail = models.BooleanField(default=True)
    """To the address of the member who is the seller."""
    phone_number = models.CharField(max_length=16, blank=True)
    """E.164, for SMS; empty: none."""

    def __str__(self) -> str:
        return f"{self.seller_id}"


class AlertSettings(models.Model):
    """The one row (its id is 1) of what the organization is told of, and through which channels. Without it: the
    defaults, and nobody is told but by the pages."""

    mail_to = ArrayField(models.CharField(max_length=254), default=list, blank=True)
    sms_to = ArrayField(models.CharField(max_length=16), default=list, blank=True)
    """E.164."""
    language = models.CharField(max_length=2, default="fa")
    """Of what is sent to these addresses."""
    unknown_after = models.IntegerField(default=60)
    """Minutes after its sale from which on a recharge of unknown outcome raises an alert."""
    requests_after = models.IntegerField(default=120)
    """Minutes that a credit request may wait before it does."""
    failing_percent = models.IntegerField(default=50)
    """An alert is raised where so many percent of an operator's recharges within the window have failed,"""
    failing_least = models.IntegerField(default=10)
    """and at least so many of them."""
    failing_window = models.IntegerField(default=15)
    """Minutes."""
    sms_url = models.CharField(max_length=2000, blank=True)
    """Of the organization's own SMS gateway, with ``{to}``, ``{text}``, ``{secret}`` where they belong. Empty: there is
    none."""
    sms_method = models.CharField(max_length=4, default="POST")
    sms_body = models.CharField(max_length=2000, blank=True)
    """The same places as in the URL."""
    sms_content_type = models.CharField(max_length=40, default="application/json")
    sms_header = models.CharField(max_length=60, blank=True)
    """The header that has the secret; empty: none."""
    sms_secret = models.TextField(blank=True)
    """Encrypted (shared/outbound/secrets.py)."""

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="alert_settings_one_row")]

    def __str__(self) -> str:
        return "alerts"
