-- Rows whose key is of a sequence, for tables that lists are read from: the number is taken before the row can be seen. Of
-- two that are added at once, the one with the lower number may appear last, and whoever has gone on from the other never
-- sees it. So they are added one after the other, each seen before the next takes its number: this is done before an
-- INSERT works out its rows, and the lock ends with the transaction. (Few are added, and far apart: sellers, gateways.
-- Where it is thousands a second, the key is a moment; see uuid7.sql and shared/horizon.py.)
--
-- The lock's first key is an organization's id elsewhere; none has 0.
CREATE FUNCTION added_in_order() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(0, (TG_RELID::bigint & 2147483647)::int);
    RETURN NULL;
END;
$$;

CREATE TRIGGER credit_seller_in_order
BEFORE INSERT ON credit_seller
FOR EACH STATEMENT EXECUTE FUNCTION added_in_order();
