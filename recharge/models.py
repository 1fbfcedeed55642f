"""What an organization's schema stores of the recharges it sold."""

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Coalesce, Right
from django.db.models.lookups import GreaterThan
from django.utils import timezone

from credit.models import Adjustment, Seller
from shared.money import LARGEST_AMOUNT

BUILT_IN_GATEWAY = "instant"
"""The name of the gateway that every organization has without setting it up."""

SEND_WITHIN, SHORTEST_SEND_WITHIN, LONGEST_SEND_WITHIN = 15 * 60, 30, 24 * 60 * 60
"""Seconds; the usual, the least and the most time in which a recharge is sent or not at all."""

LAST_DIGITS = 4
"""Of a phone number, by which it is found."""

LEAST_NUMBERS_KEPT, MOST_NUMBERS_KEPT = 3, 120
"""Months; the least and the most after which phone numbers are masked."""

LONGEST_WINDOW = 24 * 60 * 60
"""Seconds; the longest time in which a repetition may be taken for a slip."""

CLAIM_HOURS, LONGEST_CLAIM_HOURS = 24, 30 * 24
"""Hours; the usual and the most time in which a claim is to be closed."""

CLAIM_DAYS, LONGEST_CLAIM_DAYS = 30, 365
"""Days; the usual and the most time after a sale in which its seller may ask what became of it."""


class HasItsEnd(Func):
    """Whether what a recharge says of its end fits its status; sql/recharges.sql has the function."""

    function = "recharge_has_its_end"
    output_field = models.BooleanField()


class Recharge(models.Model):
    """A recharge that a seller sold. It is written by the SQL functions in sql/recharges.sql, together with the entry
    that pays for it; this model is for reading."""

    class Status(models.TextChoices):
        PENDING = "pending"
        """Debited, not yet delivered."""
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        """Certainly not delivered, and refunded."""
        UNKNOWN = "unknown"
        """The gateway did not answer; debited until it is known."""

    class Late(models.TextChoices):
        """What came after its end, if anything did; for an admin to look at."""

        NO = ""
        CHARGED = "charged"
        """It had failed and was refunded, then it was delivered after all: charged again."""
        OWED = "owed"
        """The same, but the balance did not bear the charge: the seller owes its amount."""
        REVERSED = "reversed"
        """It had succeeded, then the operator took it back: the seller has the amount again."""

    id = models.UUIDField(primary_key=True, editable=False)
    """UUIDv7 of ``created_at``: sorts by time."""
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, db_index=False)
    idempotency_key = models.CharField(max_length=255, db_collation="C")
    phone_number = models.CharField(max_length=16, db_collation="C")
    """E.164. Masked (``+98******4567``) once the organization wants it no longer (``Settings.numbers_kept_months``)."""
    operator = models.CharField(max_length=20)
    amount = models.BigIntegerField()
    """Tomans."""
    status = models.CharField(max_length=9, choices=Status, db_collation="C")
    failure = models.CharField(max_length=200, blank=True)
    balance_after = models.BigIntegerField()
    """The seller's balance when this was sold, in Tomans."""
    created_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True)
    """When it ended. Where something came after its end (``late``): when that came."""
    delivered_at = models.DateTimeField(null=True)
    """When it was delivered, where ``completed_at`` says something later: when it was charged, or taken back."""

    gateway = models.CharField(max_length=50, db_collation="C")
    """The name of the gateway that delivers it, as the settings were when it was sold."""
    late = models.CharField(max_length=8, choices=Late, blank=True, db_collation="C")
    due_at = models.DateTimeField(null=True)
    """When the delivery worker is to do something about it; null: nothing is to be done."""
    submitted_at = models.DateTimeField(null=True)
    """When a worker first took it to submit it; from then on its gateway may have it. Null: it certainly has not."""
    attempts = models.IntegerField(default=0)
    """How many there were; the number of the last."""
    submitted_through = models.BigIntegerField(null=True)
    """The id of the row of :class:`GatewaySettings` that may have it, and so is the one to be asked about it. Null: no
    gateway has it for certain."""
    training = models.BooleanField(default=False, db_default=False)
    """Whether it was sold by an organization that trained, of an operator without a gateway: it was never delivered."""
    user_id = models.BigIntegerField(null=True)
    """Who sold it; null: a program, or it is older than this column."""
    key_id = models.UUIDField(null=True)
    """The API key by which a program sold it."""
    commission = models.BigIntegerField(default=0, db_default=0)
    """What the seller earns by it, in Tomans. A refund takes it back with the amount."""
    basis_points = models.IntegerField(null=True)
    """The rate of the commission, as it was when this was sold; null: none applied, or a fixed sum."""
    dealers = ArrayField(models.BigIntegerField(), null=True)
    """The seller's ancestors when this was sold, the nearest first; null: none."""
    margin_due = models.BooleanField(default=False, db_default=False)
    """Whether margins of its dealers are to be posted, or taken back (sql/margins.sql)."""

    class Meta:
        indexes = [
            models.Index(fields=["seller", "id"], name="recharge_seller"),
            models.Index(fields=["phone_number", "id"], name="recharge_phone"),
            # Numbers by their last digits. Without the id: recharges of the same digits share an entry, so that it is 9
            # bytes a row where it would be 55, and an INSERT by itself costs 22 % more CPU where it would cost 36.
            models.Index(Right("phone_number", LAST_DIGITS), name="recharge_last_digits"),
            # Everything but the many that succeeded: what is in flight (a balance asks for it), and what failed.
            models.Index(fields=["status", "id"], condition=~Q(status="succeeded"), name="recharge_status"),
            models.Index(
                fields=["seller", "status", "id"], condition=~Q(status="succeeded"), name="recharge_seller_status"
            ),
            # The table is its own queue.
            models.Index(fields=["gateway", "due_at"], condition=Q(due_at__isnull=False), name="recharge_due"),
            models.Index(fields=["late", "id"], condition=~Q(late=""), name="recharge_late"),
            models.Index(fields=["seller", "id"], condition=Q(late="owed"), name="recharge_owed"),
            models.Index(fields=["id"], condition=Q(margin_due=True), name="recharge_margin_due"),
            # The few whose result came late, by when it came: they change days that were summed up (sql/days.sql).
            models.Index(
                fields=["completed_at"],
                condition=Q(GreaterThan(F("completed_at") - F("created_at"), timedelta(hours=1))),
                name="recharge_completed_late",
            ),
        ]
        constraints = [
            # The key first: an admin looks for one without knowing whose it is.
            models.UniqueConstraint(fields=["idempotency_key", "seller"], name="recharge_key"),
            models.CheckConstraint(
                condition=Q(amount__gte=1, amount__lte=LARGEST_AMOUNT, commission__gte=0, commission__lte=F("amount")),
                name="recharge_amount",
            ),
            models.CheckConstraint(condition=Q(balance_after__gte=0), name="recharge_balance_not_negative"),
            models.CheckConstraint(
                condition=HasItsEnd("status", "created_at", "completed_at", "failure", "late"), name="recharge_state"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} Tomans, {self.status}"


class BulkBatch(models.Model):
    """Rows that somebody sells at once, as they were given (recharge/batches). It holds no money: what was sold is
    recharges, whose idempotency keys begin with the batch's key."""

    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, db_index=False, related_name="+")
    key = models.UUIDField()
    """Made when the form was shown."""
    digest = models.BinaryField()
    """SHA-256 of what its rows sell, in any order: by it, the same file is known when it comes again."""
    file_name = models.CharField(max_length=200, blank=True)
    """Empty: the rows were pasted."""
    rows = models.JSONField()
    """What is to be sold; see batches/rows.py."""
    refusals = models.JSONField(default=dict)
    """Why rows were not sold: codes by idempotency key."""
    left_out = models.TextField(blank=True)
    """The lines with mistakes, as they were written, below that of the columns' names; empty: none."""
    mistakes = models.IntegerField(default=0)
    """How many lines that is."""
    count = models.IntegerField()
    amount = models.BigIntegerField()
    """Tomans, of all rows."""
    made_by = models.CharField(max_length=150)
    """The username as it was then."""
    user_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["seller", "id"], name="bulk_batch_seller"),
            models.Index(fields=["seller", "digest"], name="bulk_batch_digest"),
        ]
        constraints = [models.UniqueConstraint(fields=["seller", "key"], name="bulk_batch_once")]

    def __str__(self) -> str:
        return f"{self.count} rows"


class Attempt(models.Model):
    """One thing that was done to get a recharge delivered: written before its gateway is called, completed after."""

    class Action(models.TextChoices):
        SUBMIT = "submit"
        INQUIRE = "inquire"
        RESOLVE = "resolve"
        """An admin settled it by hand."""

    class Outcome(models.TextChoices):
        OPEN = "open"
        """Not answered yet, or the worker was killed before it could say."""
        ACCEPTED = "accepted"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        UNKNOWN = "unknown"
        UNSENT = "unsent"
        """Certainly nothing was sent."""
        MISSING = "missing"
        """The gateway says that it never got it."""

    recharge = models.ForeignKey(Recharge, on_delete=models.PROTECT, db_index=False)
    number = models.IntegerField()
    """1, 2, 3 … for each recharge."""
    action = models.CharField(max_length=7, choices=Action)
    gateway = models.CharField(max_length=50)
    started_at = models.DateTimeField()
    latency_ms = models.IntegerField(null=True)
    outcome = models.CharField(max_length=9, choices=Outcome)
    reason = models.CharField(max_length=200, blank=True)
    operator_reference = models.CharField(max_length=100, blank=True)
    answer = models.CharField(max_length=1000, blank=True)
    """The beginning of the raw answer, free of secrets."""
    by = models.CharField(max_length=150, blank=True)
    """The username of the admin who resolved it."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["recharge", "number"], name="attempt_number")]

    def __str__(self) -> str:
        return f"{self.number}: {self.action}, {self.outcome}"


class GatewaySettings(models.Model):
    """A gateway as the organization has set it up.

    A row stands for one account at one address for good. Who changes either gets a new row of the same name, and the
    old one is retired: what was submitted through it is still asked about there."""

    name = models.CharField(max_length=50, db_collation="C")
    kind = models.CharField(max_length=20)
    """A name of delivery.gateways.kinds.KINDS, which says which of the following such a gateway has."""
    url = models.CharField(max_length=2000, blank=True)
    key_id = models.CharField(max_length=100, blank=True)
    """Tells the operator whose signature it is."""
    secret = models.TextField(blank=True)
    """Encrypted (shared/outbound/secrets.py)."""
    connect_timeout_ms = models.IntegerField(default=3000)
    read_timeout_ms = models.IntegerField(default=10000)
    retired_at = models.DateTimeField(null=True)
    """When another row took its place; null: nothing did."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=Q(retired_at__isnull=True), name="gateway_once"),
            # The built-in gateway's name: see recharge_terms_of in sql/recharges.sql.
            models.CheckConstraint(condition=~Q(name=BUILT_IN_GATEWAY), name="gateway_name"),
        ]

    def __str__(self) -> str:
        return self.name


class OperatorSettings(models.Model):
    """What an organization has settled for one operator. Without a row a built-in one has no gateway and any amount;
    any other operator is one because it has a row."""

    operator = models.CharField(max_length=20, primary_key=True, db_collation="C")
    name = models.CharField(max_length=50, blank=True, default="", db_default="")
    """Of one that the organization has added; built-in ones have theirs from :class:`recharge.operators.Operator`."""
    gateway = models.ForeignKey(GatewaySettings, on_delete=models.PROTECT, null=True)
    """Null: none is chosen."""
    amounts = ArrayField(models.BigIntegerField(), default=list, blank=True)
    """The amounts that may be sold, in Tomans; empty: any from the least to the most."""
    least_amount = models.BigIntegerField(default=1)
    most_amount = models.BigIntegerField(default=LARGEST_AMOUNT)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(least_amount__gte=1, least_amount__lte=F("most_amount"), most_amount__lte=LARGEST_AMOUNT),
                name="operator_range",
            ),
        ]

    def __str__(self) -> str:
        return self.operator


class Settings(models.Model):
    """The one row (its id is 1) of what else an organization has settled. Without it: the defaults."""

    duplicate_window = models.IntegerField(default=0)
    """Seconds in which the same seller, number and amount is taken for a slip; 0: never."""

    send_within = models.IntegerField(default=SEND_WITHIN, db_default=SEND_WITHIN)
    """Seconds after its sale in which a recharge is sent; what is older fails and is refunded instead."""
    training = models.BooleanField(default=True, db_default=True)
    """Whether the organization trains: an operator without a gateway is sold, and nothing is delivered. Else it is not
    sold."""
    refuses_owing = models.BooleanField(default=False, db_default=False)
    """Whether a seller who owes a late charge may not sell."""
    has_commissions = models.BooleanField(default=False, db_default=False)
    """Whether there is any rate: without, a sale does not look for one. Kept by sql/commissions.sql."""
    has_limits = models.BooleanField(default=False, db_default=False)
    """The same for limits; kept by sql/limits.sql."""
    claim_hours = models.IntegerField(default=CLAIM_HOURS, db_default=CLAIM_HOURS)
    """Hours in which a claim is to be closed; of those that are made from now on."""
    claim_days = models.IntegerField(default=CLAIM_DAYS, db_default=CLAIM_DAYS)
    """Days after its sale in which a claim may be made of a recharge."""
    receipts_by_sms = models.BooleanField(default=False, db_default=False)
    """Whether who sells may send a receipt to the number that was recharged, by the organization's SMS gateway."""
    numbers_kept_months = models.IntegerField(default=0, db_default=0)
    """Months after which the phone numbers of recharges are masked, and what else has them is let go of
    (recharge/retention); 0: never."""

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="settings_one_row"),
            models.CheckConstraint(
                condition=Q(
                    claim_hours__gte=1,
                    claim_hours__lte=LONGEST_CLAIM_HOURS,
                    claim_days__gte=1,
                    claim_days__lte=LONGEST_CLAIM_DAYS,
                ),
                name="settings_claims",
            ),
            models.CheckConstraint(
                condition=Q(numbers_kept_months=0)
                | Q(numbers_kept_months__gte=LEAST_NUMBERS_KEPT, numbers_kept_months__lte=MOST_NUMBERS_KEPT),
                name="settings_numbers_kept",
            ),
            models.CheckConstraint(
                condition=Q(send_within__gte=SHORTEST_SEND_WITHIN, send_within__lte=LONGEST_SEND_WITHIN),
                name="settings_send_within",
            ),
            models.CheckConstraint(
                condition=Q(duplicate_window__gte=0, duplicate_window__lte=LONGEST_WINDOW), name="settings_window"
            ),
        ]

    def __str__(self) -> str:
        return "settings"


class LettingGo(models.Model):
    """How far the worker is with letting go of one kind of things (recharge/retention/kinds.py)."""

    kind = models.CharField(max_length=30, primary_key=True, db_collation="C")
    position = models.CharField(max_length=40, blank=True, db_collation="C")
    """The id of the row up to which all were looked at; empty: it begins with the first."""
    began_at = models.DateTimeField()
    """When it last began with the first."""
    gone = models.BigIntegerField(default=0)
    """How many it has let go of, ever."""
    gone_at = models.DateTimeField(null=True)
    """When the last of them went."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.gone}"


class CommissionRate(models.Model):
    """What sellers earn by a recharge, from some moment until another. The most specific one wins: a seller's of the
    operator, the seller's, the operator's, that of all. A change ends a row and makes another."""

    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    """Null: of all sellers."""
    operator = models.CharField(max_length=20, blank=True, default="", db_collation="C")
    """Empty: of all operators."""
    basis_points = models.IntegerField(null=True)
    """Hundredths of a percent of the amount, rounded down to the Toman."""
    fixed = models.BigIntegerField(null=True)
    """Or a sum in Tomans, the same for each recharge; of one of less, its amount."""
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField(null=True)
    """Null: it is in force."""
    set_by = models.CharField(max_length=150, blank=True)
    """The username as it was then."""
    ended_by = models.CharField(max_length=150, blank=True, default="", db_default="")
    """Who ended it, or set another in its place; empty: nobody did."""

    class Meta:
        indexes = [
            models.Index(fields=["valid_from", "id"], name="commission_since"),
            models.Index(fields=["seller", "operator", "valid_from"], name="commission_at"),
        ]
        constraints = [
            # 0: of all sellers. A sale finds the most specific one with one look at this index (commission_rate_of).
            models.UniqueConstraint(
                Coalesce("seller", Value(0)),
                "operator",
                condition=Q(valid_until__isnull=True),
                name="commission_once",
            ),
            models.CheckConstraint(
                condition=Q(basis_points__gte=0, basis_points__lte=9999, fixed__isnull=True)
                | Q(basis_points__isnull=True, fixed__gte=0, fixed__lte=LARGEST_AMOUNT),
                name="commission_rate",
            ),
            models.CheckConstraint(
                condition=Q(valid_until__isnull=True) | Q(valid_until__gte=F("valid_from")), name="commission_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.operator}: {self.basis_points or self.fixed}"


class Limit(models.Model):
    """How much may be sold; of all sellers, or of one, whose fields go over those of all (the two hours together).
    Null: no such limit. Its row is a new one each time it is settled (recharge_limits_set in sql/limits.sql)."""

    seller = models.OneToOneField(Seller, on_delete=models.PROTECT, null=True, related_name="+")
    """Null: of each seller who has none of his own."""
    per_sale = models.BigIntegerField(null=True)
    """Tomans."""
    per_day = models.BigIntegerField(null=True)
    """Tomans; a day is the organization's (credit.models.Policy.time_zone)."""
    sales_per_day = models.IntegerField(null=True)
    per_number_per_day = models.BigIntegerField(null=True)
    """Tomans, of a seller to one number."""
    from_hour = models.IntegerField(null=True)
    """The hour of the day in which selling begins."""
    to_hour = models.IntegerField(null=True)
    """The hour of the day in which nothing is sold any more."""

    class Meta:
        constraints = [
            # The OneToOneField alone lets in many rows without a seller.
            models.UniqueConstraint(fields=["seller"], nulls_distinct=False, name="limit_once"),
            models.CheckConstraint(
                condition=(Q(per_sale__isnull=True) | Q(per_sale__gte=1))
                & (Q(per_day__isnull=True) | Q(per_day__gte=1))
                & (Q(sales_per_day__isnull=True) | Q(sales_per_day__gte=1))
                & (Q(per_number_per_day__isnull=True) | Q(per_number_per_day__gte=1)),
                name="limit_positive",
            ),
            models.CheckConstraint(
                condition=(Q(from_hour__isnull=True) | Q(from_hour__gte=0, from_hour__lte=23))
                & (Q(to_hour__isnull=True) | Q(to_hour__gte=1, to_hour__lte=24))
                & (Q(from_hour__isnull=True) | Q(to_hour__isnull=True) | Q(from_hour__lt=F("to_hour"))),
                name="limit_hours",
            ),
        ]

    def __str__(self) -> str:
        return f"limits of {self.seller_id or 'all'}"


class SellerDay(models.Model):
    """What a seller has sold on the last day on which he sold, where a limit of a day asks for it; refunds are taken
    off. It is made by the first sale of the day, of the recharges that there are by then (sql/limits.sql), and again by
    the next one when limits or the time zone have changed."""

    seller = models.OneToOneField(Seller, on_delete=models.PROTECT, primary_key=True, related_name="+")
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    """When the next day begins."""
    version = models.BigIntegerField()
    """Of the limits by which it is counted: the highest id of their rows."""
    amount = models.BigIntegerField()
    """Tomans."""
    sales = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.begins_at}: {self.amount}"


class MarginBatch(models.Model):
    """Margins of a dealer that were posted, or taken back, as one entry. It is written by the SQL functions in
    sql/margins.sql, together with its entry."""

    id = models.UUIDField(primary_key=True, editable=False)
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, db_index=False, related_name="+")
    """The dealer."""
    is_back = models.BooleanField()
    """Whether they were taken back."""
    amount = models.BigIntegerField()
    """Tomans, more than 0."""
    recharges = models.IntegerField()
    """How many recharges it is for."""
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["seller", "id"], name="margin_batch_seller")]
        constraints = [models.CheckConstraint(condition=Q(amount__gte=1, recharges__gte=1), name="margin_batch_amount")]

    def __str__(self) -> str:
        return f"{self.amount} Tomans"


class Margin(models.Model):
    """What a dealer earns by one recharge of a seller below."""

    recharge = models.ForeignKey(Recharge, on_delete=models.PROTECT, db_index=False, related_name="+")
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, db_index=False, related_name="+")
    """The dealer."""
    amount = models.BigIntegerField()
    """Tomans, more than 0."""
    batch = models.ForeignKey(MarginBatch, on_delete=models.PROTECT, related_name="+")
    """By which it was posted."""
    back_batch = models.ForeignKey(MarginBatch, on_delete=models.PROTECT, null=True, related_name="+")
    """By which it was taken back; null: it was not."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["recharge", "seller"], name="margin_once"),
            models.CheckConstraint(condition=Q(amount__gte=1), name="margin_amount"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} Tomans"


class SummedDay(models.Model):
    """A day of the organization's time zone whose sums are kept for reports (sql/days.sql). It, its sums and its
    postings are written by days_sum_up alone."""

    begins = models.DateTimeField(primary_key=True)
    ends = models.DateTimeField()
    zone = models.CharField(max_length=60)
    """In which it is a day."""
    horizon = models.DateTimeField()
    """Whatever happened before this moment is in its sums."""

    def __str__(self) -> str:
        return f"{self.begins}"


class DaySum(models.Model):
    """How many recharges a seller sold on a day of one operator, of those that were one thing at its end and are one
    thing now; their Tomans and commissions. Or (``operator`` is empty) a dealer's margins of that day."""

    begins = models.DateTimeField()
    """Of the day."""
    operator = models.CharField(max_length=20, blank=True)
    seller_id = models.BigIntegerField()
    was = models.CharField(max_length=9, blank=True)
    """succeeded, failed or open."""
    is_now = models.CharField(max_length=9, blank=True)
    training = models.BooleanField()
    recharges = models.BigIntegerField()
    amount = models.BigIntegerField()
    commission = models.BigIntegerField()
    margin = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["begins"], name="day_sum_day")]

    def __str__(self) -> str:
        return f"{self.begins}: {self.amount}"


class DayPosting(models.Model):
    """How many entries of one kind were posted on a day for a seller's recharges of one operator, or (``operator`` is
    empty) of margins; their Tomans and commissions, signed."""

    begins = models.DateTimeField()
    """Of the day."""
    operator = models.CharField(max_length=20, blank=True)
    seller_id = models.BigIntegerField()
    kind = models.CharField(max_length=12)
    sold_at = models.DateTimeField(null=True)
    """When the recharge was sold, if that was before the day."""
    entries = models.BigIntegerField()
    amount = models.BigIntegerField()
    commission = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["begins"], name="day_posting_day")]

    def __str__(self) -> str:
        return f"{self.begins}: {self.amount}"


class ClosedPeriod(models.Model):
    """Days whose reports stay as they are: see sql/periods.sql. Rows are only ever added; the database refuses anything
    else."""

    last_day = models.DateField(primary_key=True)
    """Of the organization's time zone, as it was then."""
    first_day = models.DateField(null=True)
    """The day after the period before; null: this is the first, and it has all that was before."""
    begins = models.DateTimeField(null=True)
    ends = models.DateTimeField()
    """The moment at which the day after the last one begins."""
    totals = models.JSONField()
    """By kind of entry: ``{"entries", "amount", "commission"}``, in Tomans, as they were when it was closed."""
    closed_at = models.DateTimeField()
    closed_by = models.CharField(max_length=150)
    """The username as it was then."""

    def __str__(self) -> str:
        return f"until {self.last_day}"


class Statement(models.Model):
    """What was on a seller's account in a period of days: a document that is kept, and can be proved.

    It is written by statement_make (sql/statements.sql) alone. Its rows are the entries ``first_number`` to
    ``last_number``, which never change. Amounts are Tomans.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, db_index=False, related_name="+")
    seller_name = models.CharField(max_length=200)
    """As it was then."""
    first_day = models.DateField()
    last_day = models.DateField()
    time_zone = models.CharField(max_length=60)
    """In which the days are meant, as it was then (credit.models.Policy.time_zone)."""
    starts_at = models.DateTimeField()
    """When the first day begins."""
    ends_at = models.DateTimeField()
    """When the day after the last one begins."""
    first_number = models.BigIntegerField()
    """Of the first entry."""
    last_number = models.BigIntegerField()
    """Of the last entry; one less than ``first_number`` where there is none."""
    opening_balance = models.BigIntegerField()
    closing_balance = models.BigIntegerField()
    totals = models.JSONField()
    """By kind of entry: ``entries`` (how many), ``amount`` and ``commission`` (sums, signed)."""
    digest = models.BinaryField()
    """SHA-256 over all of it and every row; recharge/statements/digests.py says of what text."""
    made_by = models.CharField(max_length=150)
    """The username as it was then."""
    made_by_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["seller", "id"], name="statement_seller")]
        constraints = [
            models.UniqueConstraint(
                fields=["seller", "first_day", "last_day", "starts_at", "ends_at", "first_number", "last_number"],
                name="statement_once",
            ),
            models.CheckConstraint(
                condition=Q(
                    first_day__lte=F("last_day"),
                    starts_at__lt=F("ends_at"),
                    first_number__gte=1,
                    last_number__gte=F("first_number") - 1,
                ),
                name="statement_period",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.first_day} to {self.last_day}"

    @property
    def entries(self) -> int:
        """How many there are."""
        return self.last_number - self.first_number + 1


class Claim(models.Model):
    """A seller's question about a recharge that his customer says he did not get. It is written by the SQL functions in
    sql/claims.sql alone, and moves no money: what is given back, a resolution of the recharge or an adjustment gives.

    What was asked is kept from the beginning, the rest from the end on."""

    class State(models.TextChoices):
        OPEN = "open"
        ANSWERED = "answered"
        """Closed by an answer."""
        DELIVERED = "delivered"
        """The operator proves that it was delivered; ``reference`` says by what."""
        REFUNDED = "refunded"
        """Its seller has the money again: the recharge has failed since, or by ``adjustment``."""
        WITHDRAWN = "withdrawn"
        """By its seller: the customer has it."""

    id = models.UUIDField(primary_key=True, editable=False)
    """UUIDv7 of ``created_at``."""
    recharge = models.ForeignKey(Recharge, on_delete=models.PROTECT, db_index=False, related_name="+")
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, db_index=False, related_name="+")
    message = models.CharField(max_length=500, blank=True)
    """What the seller says beside it."""
    asked_by = models.CharField(max_length=150)
    """The username as it was then; so are the others."""
    asked_by_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField()
    deadline = models.DateTimeField()
    """Until when it is to be closed."""
    state = models.CharField(max_length=9, choices=State, db_collation="C")
    answered_at = models.DateTimeField(null=True)
    """When the organization last said something."""
    seen_at = models.DateTimeField(null=True)
    """When its seller last looked at it since; null: he has not."""
    closed_at = models.DateTimeField(null=True)
    closed_by = models.CharField(max_length=150, blank=True)
    """Empty: it is open, or was closed since the recharge has failed."""
    closed_by_id = models.BigIntegerField(null=True)
    reference = models.CharField(max_length=100, blank=True)
    adjustment = models.ForeignKey(Adjustment, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")

    class Meta:
        indexes = [
            models.Index(fields=["seller", "id"], name="claim_seller"),
            models.Index(fields=["recharge", "id"], name="claim_recharge"),
            models.Index(fields=["deadline", "id"], condition=Q(state="open"), name="claim_due"),
            models.Index(
                fields=["seller"], condition=Q(answered_at__isnull=False, seen_at__isnull=True), name="claim_unseen"
            ),
        ]
        constraints = [
            # Of two who ask at once, one succeeds.
            models.UniqueConstraint(fields=["recharge"], condition=Q(state="open"), name="claim_open"),
            # Money is given back once: by one adjustment for one claim, and for one claim of a recharge.
            models.UniqueConstraint(
                fields=["adjustment"], condition=Q(adjustment__isnull=False), name="claim_adjustment"
            ),
            models.UniqueConstraint(
                fields=["recharge"], condition=Q(adjustment__isnull=False), name="claim_adjusted_once"
            ),
            models.CheckConstraint(
                condition=Q(state="open", closed_at__isnull=True, reference="", adjustment__isnull=True)
                | (
                    Q(state__in=["answered", "delivered", "refunded", "withdrawn"], closed_at__isnull=False)
                    & (Q(adjustment__isnull=True) | Q(state="refunded"))
                    & ((Q(state="delivered") & ~Q(reference="")) | (~Q(state="delivered") & Q(reference="")))
                ),
                name="claim_state",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.state}, until {self.deadline}"


class ClaimMessage(models.Model):
    """What was said about a claim after it was made. Rows are only ever added; the database refuses anything else."""

    id = models.UUIDField(primary_key=True, editable=False)
    """UUIDv7 of ``created_at``."""
    claim = models.ForeignKey(Claim, on_delete=models.PROTECT, db_index=False, related_name="+")
    is_sellers = models.BooleanField()
    """Whether the seller's people say it; else the organization does."""
    text = models.CharField(max_length=500)
    idempotency_key = models.CharField(max_length=40, db_collation="C")
    """Of the form that it was written in: sent twice, it is said once."""
    said_by = models.CharField(max_length=150)
    """The username as it was then."""
    said_by_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["claim", "id"], name="claim_message_claim")]
        constraints = [models.UniqueConstraint(fields=["claim", "idempotency_key"], name="claim_message_key")]

    def __str__(self) -> str:
        return self.text


class SentReceipt(models.Model):
    """A receipt that was sent to the number that was recharged: once, for good. It is written by receipt_send
    (sql/receipts.sql) alone, with the message of the outbox."""

    recharge = models.OneToOneField(Recharge, on_delete=models.PROTECT, primary_key=True, related_name="+")
    message_id = models.UUIDField()
    """Of :class:`credit.models.AlertMessage`, which says what became of it."""
    sent_by = models.CharField(max_length=150)
    """The username as it was then."""
    sent_by_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.recharge_id}"


class Checkpoint(models.Model):
    """The one row (its id is 1) that says up to where the books were proved, so that the next proof need not read what
    is older (reports/books.py). It is written by the SQL functions in sql/checkpoint.sql. Without it everything is
    read."""

    at = models.DateTimeField()
    """When the last proof that found nothing began."""
    all_at = models.DateTimeField()
    """The same of the last that read everything."""
    rules = models.BinaryField()
    """SHA-256 of the rules by which everything was proved: new rules read everything once."""
    root_day = models.DateField(null=True)
    """Of the last root that was there; null: there was none."""
    open = ArrayField(models.UUIDField())
    """The recharges that were pending or unknown."""

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="checkpoint_one_row")]

    def __str__(self) -> str:
        return f"{self.at}"


class ProvedAccount(models.Model):
    """What a seller's last entry was when the books were last proved. The entry must be the same for ever: whoever
    makes the hashes of the past anew makes other ones. It names sellers without a foreign key: it outlives them."""

    seller_id = models.BigIntegerField(primary_key=True)
    number = models.BigIntegerField()
    """Of the entry; 0: there was none."""
    balance = models.BigIntegerField()
    """Tomans that it left."""
    hash = models.BinaryField(null=True)

    def __str__(self) -> str:
        return f"{self.seller_id}: {self.number}"


class Transition(models.Model):
    """The changes of a recharge's status that there are; the database refuses any other."""

    old = models.CharField(max_length=9, db_collation="C")
    new = models.CharField(max_length=9, db_collation="C")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["old", "new"], name="transition_once")]

    def __str__(self) -> str:
        return f"{self.old} → {self.new}"
