from django.db import migrations, models


class Migration(migrations.Migration):
    """The rate of a moment is found by an index: see commission_rate_at in sql/commissions.sql."""

    dependencies = [("recharge", "0011_limits")]

    operations = [
        migrations.AddIndex(
            model_name="commissionrate",
            index=models.Index(fields=["seller", "operator", "valid_from"], name="commission_at"),
        ),
    ]
