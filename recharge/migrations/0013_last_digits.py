import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):
    """Recharges are found by the last digits of their number."""

    dependencies = [("recharge", "0012_commission_at")]

    operations = [
        migrations.AddIndex(
            model_name="recharge",
            index=models.Index(django.db.models.functions.text.Right("phone_number", 4), name="recharge_last_digits"),
        ),
    ]
