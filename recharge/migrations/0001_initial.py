import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("credit", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="GatewaySettings",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=50, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[("instant", "Instant"), ("simulator", "Simulator"), ("http", "Http")], max_length=9
                    ),
                ),
                ("url", models.CharField(blank=True, max_length=2000)),
                ("key_id", models.CharField(blank=True, max_length=100)),
                ("secret", models.TextField(blank=True)),
                ("connect_timeout_ms", models.IntegerField(default=3000)),
                ("read_timeout_ms", models.IntegerField(default=10000)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("name", "instant"), _negated=True), name="gateway_name"),
                ],
            },
        ),
        migrations.CreateModel(
            name="OperatorSettings",
            fields=[
                (
                    "operator",
                    models.CharField(
                        choices=[
                            ("mci", "Hamrah-e Aval (MCI)"),
                            ("irancell", "Irancell (MTN)"),
                            ("rightel", "RighTel"),
                            ("aptel", "ApTel"),
                            ("espadan", "Espadan (MTCE)"),
                            ("telekish", "TeleKish"),
                        ],
                        max_length=20,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "amounts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), blank=True, default=list, size=None
                    ),
                ),
                ("least_amount", models.BigIntegerField(default=1)),
                ("most_amount", models.BigIntegerField(default=1000000000000)),
                (
                    "gateway",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, to="recharge.gatewaysettings"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("least_amount__gte", 1),
                            ("least_amount__lte", models.F("most_amount")),
                            ("most_amount__lte", 1000000000000),
                        ),
                        name="operator_range",
                    ),
                ],
            },
        ),
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
                ("gateway", models.CharField(max_length=50)),
                (
                    "late",
                    models.CharField(
                        blank=True,
                        choices=[("", "No"), ("charged", "Charged"), ("owed", "Owed"), ("reversed", "Reversed")],
                        max_length=8,
                    ),
                ),
                ("due_at", models.DateTimeField(null=True)),
                ("submitted_at", models.DateTimeField(null=True)),
                ("attempts", models.IntegerField(default=0)),
                (
                    "seller",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to="credit.seller"),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.IntegerField()),
                (
                    "action",
                    models.CharField(
                        choices=[("submit", "Submit"), ("inquire", "Inquire"), ("resolve", "Resolve")], max_length=7
                    ),
                ),
                ("gateway", models.CharField(max_length=50)),
                ("started_at", models.DateTimeField()),
                ("latency_ms", models.IntegerField(null=True)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("accepted", "Accepted"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("unknown", "Unknown"),
                            ("unsent", "Unsent"),
                            ("missing", "Missing"),
                        ],
                        max_length=9,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("operator_reference", models.CharField(blank=True, max_length=100)),
                ("answer", models.CharField(blank=True, max_length=1000)),
                ("by", models.CharField(blank=True, max_length=150)),
                (
                    "recharge",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.PROTECT, to="recharge.recharge"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Settings",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("duplicate_window", models.IntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="settings_one_row"),
                    models.CheckConstraint(
                        condition=models.Q(("duplicate_window__gte", 0), ("duplicate_window__lte", 86400)),
                        name="settings_window",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Transition",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("old", models.CharField(max_length=9)),
                ("new", models.CharField(max_length=9)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("old", "new"), name="transition_once")],
            },
        ),
        migrations.AddIndex(
            model_name="recharge",
            index=models.Index(fields=["seller", "id"], name="recharge_seller"),
        ),
        migrations.AddIndex(
            model_name="recharge",
            index=models.Index(fields=["phone_number", "id"], name="recharge_phone"),
        ),
        migrations.AddIndex(
            model_name="recharge",
            index=models.Index(
                condition=models.Q(("status", "succeeded"), _negated=True),
                fields=["status", "id"],
                name="recharge_status",
            ),
        ),
        migrations.AddIndex(
            model_name="recharge",
            index=models.Index(
                condition=models.Q(("status", "succeeded"), _negated=True),
                fields=["seller", "status", "id"],
                name="recharge_seller_status",
            ),
        ),
        migrations.AddIndex(
            model_name="recharge",
            index=models.Index(condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="recharge_due"),
        ),
        migrations.AddIndex(
            model_name="recharge",
            index=models.Index(
                condition=models.Q(("late", ""), _negated=True), fields=["late", "id"], name="recharge_late"
            ),
        ),
        migrations.AddConstraint(
            model_name="recharge",
            constraint=models.UniqueConstraint(fields=("idempotency_key", "seller"), name="recharge_key"),
        ),
        migrations.AddConstraint(
            model_name="recharge",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gte", 1), ("amount__lte", 1000000000000)), name="recharge_amount"
            ),
        ),
        migrations.AddConstraint(
            model_name="recharge",
            constraint=models.CheckConstraint(
                condition=models.Q(("balance_after__gte", 0)), name="recharge_balance_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="recharge",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("completed_at__isnull", True),
                        ("failure", ""),
                        ("late", ""),
                        ("status__in", ["pending", "unknown"]),
                    ),
                    models.Q(
                        ("completed_at__gte", models.F("created_at")),
                        ("failure", ""),
                        ("late__in", ["", "charged", "owed"]),
                        ("status", "succeeded"),
                    ),
                    models.Q(
                        ("completed_at__gte", models.F("created_at")),
                        ("late__in", ["", "reversed"]),
                        ("status", "failed"),
                        models.Q(("failure", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="recharge_state",
            ),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.UniqueConstraint(fields=("recharge", "number"), name="attempt_number"),
        ),
    ]
