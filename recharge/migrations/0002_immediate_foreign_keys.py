"""Apart from 0001, since Django adds foreign keys when a migration is over."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[2] / "credit" / "sql"


class Migration(migrations.Migration):
    dependencies = [("recharge", "0001_initial")]

    operations = [
        migrations.RunSQL((SQL / "foreign_keys.sql").read_text()),
    ]
