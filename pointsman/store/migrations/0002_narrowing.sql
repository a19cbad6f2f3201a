-- What narrows a policy beside its rules: whose yes a question takes, what was revoked, and how often a tool may be called.
ALTER TABLE pointsman.approval ADD COLUMN roles text[];  -- every role whose yes it takes; null where anybody may give one
UPDATE pointsman.approval SET roles = ARRAY[role] WHERE role IS NOT NULL;

CREATE TABLE pointsman.revocation (
    number     bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    kind       text NOT NULL,                        -- principal · tool · rule
    name       text NOT NULL,
    revoked_by text NOT NULL,
    reason     text NOT NULL,
    revoked_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE pointsman.begun (                       -- a projection of the journal: calls, of the last day, of tools that have a rate
    tool text NOT NULL,
    at   timestamptz NOT NULL
);
CREATE INDEX begun_by_tool ON pointsman.begun (tool, at);

-- Lets a call of a tool begin in the transaction it is called in, if its caller knows all that was revoked and each rate leaves room.
-- A rate without a number only counts: a call sent again is another one for whoever is called.
CREATE FUNCTION pointsman.permit(p_known bigint, p_tool text, p_calls int[], p_seconds float8[]) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_now  timestamptz;
    v_full timestamptz;
BEGIN
    -- Until the end of the transaction nothing can be revoked (see `revoke`), so no call begins that was revoked before it.
    PERFORM pg_advisory_xact_lock_shared(7461636373402);
    IF EXISTS (SELECT FROM pointsman.revocation WHERE number > p_known) THEN
        RAISE EXCEPTION 'something was revoked' USING ERRCODE = 'PM005';
    END IF;
    IF cardinality(p_calls) > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(p_tool, 7461636373403));
        v_now := clock_timestamp();
        FOR i IN 1 .. cardinality(p_calls) LOOP
            IF p_calls[i] IS NOT NULL THEN
                SELECT b.at INTO v_full FROM pointsman.begun b
                 WHERE b.tool = p_tool AND b.at > v_now - make_interval(secs => p_seconds[i])
                 ORDER BY b.at DESC OFFSET p_calls[i] - 1 LIMIT 1;
                IF FOUND THEN
                    RAISE EXCEPTION 'the rate of % is used up', p_tool USING ERRCODE = 'PM006',
                        DETAIL = extract(epoch FROM v_full + make_interval(secs => p_seconds[i]) - v_now)::text;
                END IF;
            END IF;
        END LOOP;
        DELETE FROM pointsman.begun WHERE tool = p_tool AND at < v_now - interval '1 day';
        INSERT INTO pointsman.begun (tool, at) VALUES (p_tool, v_now);
    END IF;
    RETURN true;
END $$;

-- As `extend`, for what may follow only while it is permitted: all in one round trip.
CREATE FUNCTION pointsman.extend_permitted(
    p_run text, p_epoch bigint, p_seq bigint, p_hash text, p_new_seq bigint, p_new_hash text, p_rows json, p_payloads json,
    p_known bigint, p_tool text, p_calls int[], p_seconds float8[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pointsman.permit(p_known, p_tool, p_calls, p_seconds);
    RETURN pointsman.extend(p_run, p_epoch, p_seq, p_hash, p_new_seq, p_new_hash, p_rows, p_payloads);
END $$;

-- Puts a revocation in force: from its commit on no call begins whose caller does not know it.
CREATE FUNCTION pointsman.revoke(p_kind text, p_name text, p_by text, p_reason text) RETURNS SETOF pointsman.revocation LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7461636373402);
    RETURN QUERY INSERT INTO pointsman.revocation (kind, name, revoked_by, reason) VALUES (p_kind, p_name, p_by, p_reason) RETURNING *;
END $$;
