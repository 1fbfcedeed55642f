from django.db import migrations, models
from django.db.models import BooleanField, Func

# As the function was when this was written; sql/ledger.sql has what it is now.
FUNCTION = """
    CREATE OR REPLACE FUNCTION entry_has_its_sign(p_kind text, p_amount bigint) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
    BEGIN
        RETURN CASE
            WHEN p_kind IN ('recharge', 'late_charge') THEN p_amount < 0
            WHEN p_kind IN ('credit', 'refund', 'reversal') THEN p_amount > 0
            WHEN p_kind = 'adjustment' THEN p_amount <> 0
            ELSE false
        END IS TRUE;
    END;
    $$;
"""


class EntryHasItsSign(Func):
    """As it was then, too."""

    function = "entry_has_its_sign"
    output_field = BooleanField()


class Migration(migrations.Migration):
    """The check of an entry's sign asks a function. All entries are looked through once, under a lock."""

    dependencies = [
        ("credit", "0004_webhook_message_lane"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    FUNCTION
                    + """
                    ALTER TABLE credit_entry
                        DROP CONSTRAINT IF EXISTS entry_sign,
                        ADD CONSTRAINT entry_sign CHECK (entry_has_its_sign(kind, amount));
                    """,
                    migrations.RunSQL.noop,
                ),
            ],
            state_operations=[
                migrations.RemoveConstraint(model_name="entry", name="entry_sign"),
                migrations.AddConstraint(
                    model_name="entry",
                    constraint=models.CheckConstraint(condition=EntryHasItsSign("kind", "amount"), name="entry_sign"),
                ),
            ],
        ),
    ]
