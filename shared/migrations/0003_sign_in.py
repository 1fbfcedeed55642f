from django.db import migrations


class Migration(migrations.Migration):
    """A family of refresh tokens is one kind of sign-in now. The table keeps its name, which processes of the release
    before know."""

    dependencies = [
        ("shared", "0002_first_findings"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameModel("RefreshFamily", "SignIn"),
                migrations.AlterModelTable("signin", "shared_refreshfamily"),
            ],
        ),
    ]
