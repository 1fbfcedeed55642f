import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Seller",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200)),
                ("is_active", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name="Account",
            fields=[
                (
                    "seller",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        to="credit.seller",
                    ),
                ),
                ("balance", models.BigIntegerField(default=0)),
                ("last_number", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="CreditRequest",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("idempotency_key", models.CharField(max_length=255)),
                ("amount", models.BigIntegerField()),
                ("note", models.CharField(blank=True, max_length=500)),
                (
                    "status",
                    models.CharField(
                        choices=[("pending", "Pending"), ("approved", "Approved"), ("rejected", "Rejected")],
                        default="pending",
                        max_length=8,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("created_at", models.DateTimeField()),
                ("decided_at", models.DateTimeField(null=True)),
                ("decided_by", models.CharField(blank=True, max_length=150)),
                ("decided_by_id", models.BigIntegerField(null=True)),
                (
                    "seller",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to="credit.seller"),
                ),
            ],
        ),
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("url", models.CharField(max_length=2000)),
                (
                    "events",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("recharge.succeeded", "Recharge Succeeded"),
                                ("recharge.failed", "Recharge Failed"),
                                ("recharge.reversed", "Recharge Reversed"),
                                ("credit_request.approved", "Credit Request Approved"),
                                ("credit_request.rejected", "Credit Request Rejected"),
                            ],
                            max_length=30,
                        ),
                        size=None,
                    ),
                ),
                ("secret", models.TextField()),
                ("previous_secret", models.TextField(blank=True)),
                ("previous_secret_until", models.DateTimeField(null=True)),
                (
                    "disabled",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "No"),
                            ("by_hand", "By Hand"),
                            ("gone", "Gone"),
                            ("failing", "Failing"),
                            ("deleted", "Deleted"),
                        ],
                        max_length=7,
                    ),
                ),
                ("failing_since", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField()),
                (
                    "seller",
                    models.ForeignKey(
                        db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, to="credit.seller"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="WebhookMessage",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                (
                    "event",
                    models.CharField(
                        choices=[
                            ("recharge.succeeded", "Recharge Succeeded"),
                            ("recharge.failed", "Recharge Failed"),
                            ("recharge.reversed", "Recharge Reversed"),
                            ("credit_request.approved", "Credit Request Approved"),
                            ("credit_request.rejected", "Credit Request Rejected"),
                        ],
                        max_length=30,
                    ),
                ),
                ("data", models.JSONField()),
                (
                    "status",
                    models.CharField(
                        choices=[("pending", "Pending"), ("delivered", "Delivered"), ("failed", "Failed")],
                        default="pending",
                        max_length=9,
                    ),
                ),
                ("attempts", models.IntegerField(default=0)),
                ("due_at", models.DateTimeField(null=True)),
                ("give_up_at", models.DateTimeField()),
                ("created_at", models.DateTimeField()),
                ("delivered_at", models.DateTimeField(null=True)),
                (
                    "endpoint",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, to="credit.webhookendpoint"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="WebhookAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("attempted_at", models.DateTimeField()),
                ("latency_ms", models.IntegerField()),
                ("status_code", models.IntegerField(null=True)),
                ("error", models.CharField(blank=True, max_length=300)),
                ("answer", models.CharField(blank=True, max_length=500)),
                ("message", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="credit.webhookmessage")),
            ],
        ),
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("number", models.BigIntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("credit", "Credit"),
                            ("recharge", "Recharge"),
                            ("refund", "Refund"),
                            ("late_charge", "Late Charge"),
                            ("reversal", "Reversal"),
                            ("adjustment", "Adjustment"),
                        ],
                        max_length=11,
                    ),
                ),
                ("amount", models.BigIntegerField()),
                ("balance_after", models.BigIntegerField()),
                ("reference", models.UUIDField()),
                ("created_at", models.DateTimeField()),
                (
                    "seller",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to="credit.account"),
                ),
            ],
            options={
                "verbose_name_plural": "entries",
            },
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(("balance__gte", 0)), name="account_balance_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(("balance__lte", 9007199254740991)), name="account_balance_bounded"
            ),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(("last_number__gte", 0)), name="account_last_number_not_negative"
            ),
        ),
        migrations.AddIndex(
            model_name="creditrequest",
            index=models.Index(fields=["seller", "id"], name="credit_request_seller"),
        ),
        migrations.AddIndex(
            model_name="creditrequest",
            index=models.Index(fields=["status", "id"], name="credit_request_status"),
        ),
        migrations.AddConstraint(
            model_name="creditrequest",
            constraint=models.UniqueConstraint(fields=("idempotency_key", "seller"), name="credit_request_key"),
        ),
        migrations.AddConstraint(
            model_name="creditrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gte", 1), ("amount__lte", 1000000000000)), name="credit_request_amount"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("decided_at__isnull", True), ("status", "pending")),
                    models.Q(("decided_at__gte", models.F("created_at")), ("status__in", ["approved", "rejected"])),
                    _connector="OR",
                ),
                name="credit_request_decided",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookendpoint",
            index=models.Index(fields=["seller", "id"], name="webhook_endpoint_seller"),
        ),
        migrations.AddIndex(
            model_name="webhookmessage",
            index=models.Index(fields=["endpoint", "id"], name="webhook_message_endpoint"),
        ),
        migrations.AddIndex(
            model_name="webhookmessage",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="webhook_message_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookmessage",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("due_at__isnull", False), ("status", "pending")),
                    models.Q(("delivered_at__isnull", False), ("due_at__isnull", True), ("status", "delivered")),
                    models.Q(("due_at__isnull", True), ("status", "failed")),
                    _connector="OR",
                ),
                name="webhook_message_status",
            ),
        ),
        migrations.AddIndex(
            model_name="entry",
            index=models.Index(fields=["seller", "id"], name="entry_seller"),
        ),
        migrations.AddIndex(
            model_name="entry",
            index=models.Index(
                condition=models.Q(("kind", "recharge"), _negated=True), fields=["kind", "id"], name="entry_kind"
            ),
        ),
        migrations.AddIndex(
            model_name="entry",
            index=models.Index(
                condition=models.Q(("kind", "recharge"), _negated=True),
                fields=["seller", "kind", "id"],
                name="entry_seller_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.UniqueConstraint(fields=("seller", "number"), name="entry_number"),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.UniqueConstraint(fields=("kind", "reference"), name="entry_reference"),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(condition=models.Q(("number__gte", 1)), name="entry_number_positive"),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(("balance_after__gte", 0)), name="entry_balance_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount__lt", 0), ("kind__in", ["recharge", "late_charge"])),
                    models.Q(("amount__gt", 0), ("kind__in", ["credit", "refund", "reversal"])),
                    models.Q(("kind", "adjustment"), models.Q(("amount", 0), _negated=True)),
                    _connector="OR",
                ),
                name="entry_sign",
            ),
        ),
    ]
