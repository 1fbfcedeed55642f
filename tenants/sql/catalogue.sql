-- What the database's catalogue says of the schemas named in %(schemas)s (those that are there), one row each: their tables,
-- their functions, triggers and types as fingerprints, their tables' storage settings as another, and whatever in them
-- points at another schema. One statement for all of them. A fingerprint is the same wherever the schema lies and however it came there: its name is left out.
--
-- To write down bodies that are parsed already (%(with_bodies)s) PostgreSQL locks the tables that they read, as a query of
-- them would. Of what somebody else keeps in the public schema nothing is looked at: there, only what is named in
-- %(public_functions)s.

WITH schema AS (
    SELECT oid, nspname::text AS name, quote_ident(nspname) AS quoted
    FROM pg_namespace WHERE nspname = ANY (%(schemas)s)
),

-- By what depends on them, for which there is an index. There is none for the schema of a function or a table: to look at
-- one schema among a thousand, all that the thousand have would be read.
object AS MATERIALIZED (
    SELECT schema.oid AS schema_id, schema.name AS schema_name, schema.quoted, classid, objid
    FROM schema
    INNER JOIN pg_depend ON refclassid = 'pg_namespace'::regclass AND refobjid = schema.oid AND deptype = 'n'
),

relation AS MATERIALIZED (
    SELECT object.schema_id, object.schema_name, object.quoted, pg_class.oid, relname, relkind, reloptions
    FROM object
    INNER JOIN pg_class ON pg_class.oid = object.objid
    WHERE object.classid = 'pg_class'::regclass
),

function AS (
    SELECT object.schema_id, object.schema_name, object.quoted, pg_proc.*
    FROM object
    INNER JOIN pg_proc ON pg_proc.oid = object.objid
    WHERE object.classid = 'pg_proc'::regclass
        AND (object.schema_name <> 'public' OR pg_proc.proname::text = ANY (%(public_functions)s))
        AND NOT EXISTS (
            SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e'
        )
),

trigger AS (
    SELECT
        relation.schema_id, relation.schema_name, relation.quoted, relation.relname, pg_trigger.*,
        pg_proc.proname, pg_proc.pronamespace
    FROM relation
    INNER JOIN pg_trigger ON pg_trigger.tgrelid = relation.oid AND NOT pg_trigger.tgisinternal
    INNER JOIN pg_proc ON pg_proc.oid = pg_trigger.tgfoid
    WHERE relation.schema_name <> 'public' OR pg_proc.proname::text = ANY (%(public_functions)s)
),

line AS (
    SELECT
        schema_name,
        'function' AS kind,
        replace(
            concat_ws(
                '|', proname, pg_get_function_arguments(oid), pg_get_function_result(oid), prolang, provolatile,
                proparallel, prosecdef, proisstrict, proleakproof, proretset,
                (
                    SELECT string_agg(
                        CASE
                            WHEN setting = 'search_path=' || quoted || ', pg_temp' THEN 'search_path=its own'
                            ELSE setting
                        END,
                        '|' ORDER BY setting
                    )
                    FROM unnest(proconfig) AS setting
                ),
                prosrc
            ),
            quoted || '.', ''
        ) AS line,
        -- Without casts and brackets, of which a dump that is read back makes others that mean the same.
        CASE WHEN %(with_bodies)s THEN
            regexp_replace(
                replace(pg_get_function_sqlbody(oid), quoted || '.', ''), '::[a-z ]+(\[\])?|[][()\s]', '', 'g'
            )
        END AS body
    FROM function

    UNION ALL
    SELECT
        schema_name,
        'trigger',
        concat_ws(
            '|', relname, tgname, proname, CASE WHEN pronamespace <> schema_id THEN pronamespace::regnamespace END,
            tgenabled, tgtype,
            (
                SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute
                WHERE attrelid = tgrelid AND attnum = ANY (tgattr)
            )
        ),
        -- To write it down, PostgreSQL goes through the functions of its function's name in all schemas.
        CASE WHEN %(with_bodies)s THEN
            regexp_replace(replace(pg_get_triggerdef(oid), quoted || '.', ''), '::[a-z ]+(\[\])?|[][()\s]', '', 'g')
        END
    FROM trigger

    UNION ALL
    SELECT
        object.schema_name,
        'type',
        pg_type.typname || '|' || (
            SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
            FROM pg_attribute WHERE attrelid = pg_type.typrelid AND NOT attisdropped
        ),
        NULL
    FROM object
    INNER JOIN pg_type ON pg_type.oid = object.objid AND pg_type.typtype = 'c'
    WHERE object.classid = 'pg_type'::regclass AND object.schema_name <> 'public'

    UNION ALL
    SELECT relation.schema_name, 'deferrable', pg_constraint.conname, NULL
    FROM relation
    INNER JOIN pg_constraint ON pg_constraint.conrelid = relation.oid
    WHERE relation.schema_name <> 'public' AND pg_constraint.contype = 'f' AND pg_constraint.condeferrable
),

fingerprint AS (
    SELECT
        schema_name,
        md5(string_agg(line, E'\n' ORDER BY line COLLATE "C")) AS lines,
        md5(string_agg(line || body, E'\n' ORDER BY line COLLATE "C")) AS bodies,
        md5(string_agg(line || body, E'\n' ORDER BY line COLLATE "C") FILTER (WHERE kind = 'trigger')) AS triggers
    FROM (SELECT schema_name, kind, line, coalesce(body, '') AS body FROM line) AS line
    GROUP BY schema_name
),

-- The storage settings of an organization's tables. Those of the public schema are the database administrator's.
storage AS (
    SELECT
        schema_name,
        md5(string_agg(relname || '|' || setting, E'\n' ORDER BY relname, setting COLLATE "C")) AS settings
    FROM relation CROSS JOIN LATERAL unnest(reloptions) AS setting
    WHERE relkind = 'r' AND schema_name <> 'public'
    GROUP BY schema_name
),

-- What in a schema works on another one.
elsewhere AS (
    SELECT function.schema_name, function.proname || ': ' || setting AS what
    FROM function CROSS JOIN LATERAL unnest(function.proconfig) AS setting
    WHERE setting LIKE 'search\_path=%%'
        AND setting NOT IN (
            'search_path=' || quoted, 'search_path=' || quoted || ', pg_temp', 'search_path=' || quoted || ', public'
        )

    UNION
    SELECT function.schema_name, function.proname || ': ' || pg_describe_object(refclassid, refobjid, 0)
    FROM function
    INNER JOIN pg_depend ON pg_depend.classid = 'pg_proc'::regclass AND pg_depend.objid = function.oid
    LEFT JOIN pg_class ON refclassid = 'pg_class'::regclass AND pg_class.oid = refobjid
    LEFT JOIN pg_proc AS called ON refclassid = 'pg_proc'::regclass AND called.oid = refobjid
    LEFT JOIN pg_type ON refclassid = 'pg_type'::regclass AND pg_type.oid = refobjid
    WHERE coalesce(pg_class.relnamespace, called.pronamespace, pg_type.typnamespace)
        NOT IN (function.schema_id, 'pg_catalog'::regnamespace)

    UNION
    SELECT schema_name, tgname || ': ' || pronamespace::regnamespace || '.' || proname
    FROM trigger
    WHERE pronamespace NOT IN (schema_id, 'pg_catalog'::regnamespace)

    UNION
    SELECT own.schema_name, own.relname || ': ' || pg_describe_object('pg_class'::regclass, other.oid, 0)
    FROM relation AS own
    INNER JOIN pg_constraint ON pg_constraint.conrelid = own.oid AND pg_constraint.contype = 'f'
    INNER JOIN pg_class AS other ON other.oid = pg_constraint.confrelid
    WHERE other.relnamespace <> own.schema_id

    UNION
    SELECT own.schema_name, own.relname || ': ' || pg_describe_object('pg_class'::regclass, other.oid, 0)
    FROM relation AS own
    INNER JOIN pg_attrdef ON pg_attrdef.adrelid = own.oid
    INNER JOIN pg_depend ON pg_depend.classid = 'pg_attrdef'::regclass AND pg_depend.objid = pg_attrdef.oid
    INNER JOIN pg_class AS other ON refclassid = 'pg_class'::regclass AND other.oid = refobjid
    WHERE other.relnamespace <> own.schema_id
),

-- Each grouped by itself: looked up schema by schema, a thousand of them took a thousand times as long as one.
own_tables AS (
    SELECT schema_id, array_agg(relname::text) AS names FROM relation WHERE relkind IN ('r', 'p') GROUP BY schema_id
),

own_functions AS (
    SELECT schema_id, array_agg(proname::text) AS names FROM function GROUP BY schema_id
),

strays AS (
    SELECT schema_name, array_agg(what ORDER BY what) AS names FROM elsewhere GROUP BY schema_name
)

SELECT
    schema.name,
    coalesce(own_tables.names, '{}'),
    coalesce(own_functions.names, '{}'),
    coalesce(fingerprint.lines, ''),
    coalesce(fingerprint.bodies, ''),
    coalesce(fingerprint.triggers, ''),
    coalesce(storage.settings, ''),
    coalesce(strays.names, '{}')
FROM schema
LEFT JOIN own_tables ON own_tables.schema_id = schema.oid
LEFT JOIN own_functions ON own_functions.schema_id = schema.oid
LEFT JOIN fingerprint ON fingerprint.schema_name = schema.name
LEFT JOIN storage ON storage.schema_name = schema.name
LEFT JOIN strays ON strays.schema_name = schema.name
