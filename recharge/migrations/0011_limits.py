import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """What a seller has sold on a day is one row a seller, which says when that day begins and ends; rows are made anew by
    the next sale. And hours of sale don't pass midnight."""

    dependencies = [
        ("credit", "0008_commissions_dealers_limits"),
        ("recharge", "0010_statements"),
    ]

    operations = [
        migrations.DeleteModel(name="SellerDay"),
        migrations.CreateModel(
            name="SellerDay",
            fields=[
                (
                    "seller",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="credit.seller",
                    ),
                ),
                ("begins_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                ("version", models.BigIntegerField()),
                ("amount", models.BigIntegerField()),
                ("sales", models.IntegerField()),
            ],
        ),
        migrations.RemoveConstraint(model_name="limit", name="limit_hours"),
        migrations.AddConstraint(
            model_name="limit",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("from_hour__isnull", True),
                        models.Q(("from_hour__gte", 0), ("from_hour__lte", 23)),
                        _connector="OR",
                    ),
                    models.Q(
                        ("to_hour__isnull", True), models.Q(("to_hour__gte", 1), ("to_hour__lte", 24)), _connector="OR"
                    ),
                    models.Q(
                        ("from_hour__isnull", True),
                        ("to_hour__isnull", True),
                        ("from_hour__lt", models.F("to_hour")),
                        _connector="OR",
                    ),
                ),
                name="limit_hours",
            ),
        ),
    ]
