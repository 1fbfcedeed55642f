from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("credit", "0014_owed_collected_event"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="webhookmessage", name="webhook_message_due"),
    ]
