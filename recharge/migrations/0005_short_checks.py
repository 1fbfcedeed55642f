from django.db import migrations, models

import recharge.models

# As the function was when this was written; sql/recharges.sql has what it is now.
FUNCTION = """
    CREATE OR REPLACE FUNCTION recharge_has_its_end(
        p_status text, p_created_at timestamptz, p_completed_at timestamptz, p_failure text, p_late text
    ) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
    BEGIN
        RETURN CASE
            WHEN p_status = 'succeeded'
                THEN p_completed_at >= p_created_at AND p_failure = '' AND p_late IN ('', 'charged', 'owed')
            WHEN p_status = 'failed'
                THEN p_completed_at >= p_created_at AND p_failure <> '' AND p_late IN ('', 'reversed')
            WHEN p_status IN ('pending', 'unknown') THEN p_completed_at IS NULL AND p_failure = '' AND p_late = ''
            ELSE false
        END IS TRUE;
    END;
    $$;
"""


class Migration(migrations.Migration):
    """As credit's migration of this name, for the check of a recharge's state."""

    dependencies = [
        ("credit", "0005_short_checks"),
        ("recharge", "0004_kinds_of_gateways"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    FUNCTION
                    + """
                    ALTER TABLE recharge_recharge
                        DROP CONSTRAINT IF EXISTS recharge_state,
                        ADD CONSTRAINT recharge_state
                        CHECK (recharge_has_its_end(status, created_at, completed_at, failure, late));
                    """,
                    migrations.RunSQL.noop,
                ),
            ],
            state_operations=[
                migrations.RemoveConstraint(model_name="recharge", name="recharge_state"),
                migrations.AddConstraint(
                    model_name="recharge",
                    constraint=models.CheckConstraint(
                        condition=recharge.models.HasItsEnd("status", "created_at", "completed_at", "failure", "late"),
                        name="recharge_state",
                    ),
                ),
            ],
        ),
    ]
