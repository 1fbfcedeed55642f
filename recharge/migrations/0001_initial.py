from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("credit", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Recharge",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("idempotency_key", models.CharField(max_length=255)),
                ("phone_number", models.CharField(max_length=16)),
                ("operator", models.CharField(max_length=20)),
                ("amount", models.BigIntegerField()),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("unknown", "Unknown"),
                        ],
                        max_length=9,
                    ),
                ),
                ("failure", models.CharField(blank=True, max_length=200)),
                ("balance_after", models.BigIntegerField()),
                ("created_at", models.DateTimeField()),
                ("completed_at", models.DateTimeField(null=True)),
                (
                    "seller",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to="credit.seller"),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["seller", "id"], name="recharge_seller"),
                    models.Index(fields=["phone_number", "id"], name="recharge_phone"),
                    models.Index(
                        condition=models.Q(("status", "succeeded"), _negated=True),
                        fields=["status", "id"],
                        name="recharge_status",
                    ),
                    models.Index(
                        condition=models.Q(("status", "succeeded"), _negated=True),
                        fields=["seller", "status", "id"],
                        name="recharge_seller_status",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("idempotency_key", "seller"), name="recharge_key"),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gte", 1), ("amount__lte", 1000000000000)), name="recharge_amount"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("balance_after__gte", 0)), name="recharge_balance_not_negative"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("completed_at__isnull", True), ("failure", ""), ("status__in", ["pending", "unknown"])
                            ),
                            models.Q(
                                ("completed_at__gte", models.F("created_at")), ("failure", ""), ("status", "succeeded")
                            ),
                            models.Q(
                                ("completed_at__gte", models.F("created_at")),
                                ("status", "failed"),
                                models.Q(("failure", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="recharge_state",
                    ),
                ],
            },
        ),
        migrations.RunSQL((SQL / "recharges.sql").read_text()),
        migrations.RunSQL((SQL / "bulk.sql").read_text()),
    ]
