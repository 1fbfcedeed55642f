import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):
    """Recharges are found by the last digits of their number. After what locks the settings: a sale reads these and then
    writes its recharge, and a schema is upgraded in one transaction, which must not wait the other way round."""

    dependencies = [("recharge", "0013_claims_and_receipts")]

    operations = [
        migrations.AddIndex(
            model_name="recharge",
            index=models.Index(django.db.models.functions.text.Right("phone_number", 4), name="recharge_last_digits"),
        ),
    ]
