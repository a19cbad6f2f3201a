-- What ends a revocation: a row of its own, in the same order, so that whoever begins a call has to know it as well.
ALTER TABLE pointsman.revocation ADD COLUMN lifts bigint REFERENCES pointsman.revocation (number);  -- the revocation that it ends; null for one that takes away

-- Ends the revocations of one thing that stand: what was ended comes back, nothing where none stood.
CREATE FUNCTION pointsman.reinstate(p_kind text, p_name text, p_by text, p_reason text) RETURNS SETOF pointsman.revocation LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7461636373402);
    RETURN QUERY INSERT INTO pointsman.revocation (kind, name, revoked_by, reason, lifts)
    SELECT r.kind, r.name, p_by, p_reason, r.number FROM pointsman.revocation r
     WHERE r.kind = p_kind AND r.name = p_name AND r.lifts IS NULL
       AND NOT EXISTS (SELECT FROM pointsman.revocation l WHERE l.lifts = r.number)
     ORDER BY r.number RETURNING *;
END $$;
