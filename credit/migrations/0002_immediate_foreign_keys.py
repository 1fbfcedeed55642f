"""Once made the foreign keys immediate. credit/sql/foreign_keys.sql does, which is installed with the functions now."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("credit", "0001_initial")]

    operations = []
