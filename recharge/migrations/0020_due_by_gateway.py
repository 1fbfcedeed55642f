from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("recharge", "0019_commission_index"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="recharge", name="recharge_due"),
        migrations.AlterField(
            model_name="recharge", name="gateway", field=models.CharField(db_collation="C", max_length=50)
        ),
        migrations.AddIndex(
            model_name="recharge",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)),
                fields=["gateway", "due_at"],
                name="recharge_due",
            ),
        ),
    ]
