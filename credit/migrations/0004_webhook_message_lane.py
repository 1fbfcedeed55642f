from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("credit", "0003_first_findings"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="webhookmessage",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)),
                fields=["endpoint", "due_at"],
                name="webhook_message_lane",
            ),
        ),
    ]
