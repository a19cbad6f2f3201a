-- The one record of every run, its head (chain and lease in one row, so that one update fences and extends), and what lies beside it.
CREATE SCHEMA IF NOT EXISTS pointsman;

CREATE TABLE pointsman.run (                       -- a projection of the journal
    run_id      text PRIMARY KEY,
    thread_id   text NOT NULL,
    graph       text NOT NULL,
    key         text,
    state       text NOT NULL,
    quarantined boolean NOT NULL DEFAULT false,
    retryable   boolean NOT NULL DEFAULT false,
    version     text,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    changed_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (graph, key)
);
CREATE INDEX run_by_thread ON pointsman.run (thread_id);
CREATE INDEX run_by_state ON pointsman.run (state, accepted_at);

CREATE TABLE pointsman.head (
    run_id     text PRIMARY KEY,
    seq        bigint NOT NULL,
    hash       text NOT NULL,
    epoch      bigint NOT NULL DEFAULT 0,
    owner      text,
    expires_at timestamptz
) WITH (fillfactor = 50);
CREATE INDEX head_by_owner ON pointsman.head (owner) WHERE owner IS NOT NULL;

CREATE TABLE pointsman.journal (
    run_id   text NOT NULL,
    seq      bigint NOT NULL,
    time     text NOT NULL,
    branch   int NOT NULL,
    position text NOT NULL,
    kind     text NOT NULL,
    fields   text NOT NULL,
    payloads text NOT NULL,
    prev     text NOT NULL,
    hash     text NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE TABLE pointsman.salt (
    run_id text PRIMARY KEY,
    salt   bytea NOT NULL
);

CREATE TABLE pointsman.payload (
    run_id text NOT NULL,
    digest text NOT NULL,
    body   text NOT NULL,
    PRIMARY KEY (run_id, digest)
);

CREATE TABLE pointsman.approval (                  -- a projection of the journal
    approval_id text PRIMARY KEY,
    run_id      text NOT NULL,
    position    text NOT NULL,
    digest      text NOT NULL,
    card_digest text NOT NULL,
    tool        text NOT NULL,
    node        text NOT NULL,
    role        text,
    state       text NOT NULL,
    decided_by  text,
    opened_at   timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    UNIQUE (run_id, position, digest, approval_id)
);
CREATE INDEX approval_by_run ON pointsman.approval (run_id);
CREATE INDEX approval_open ON pointsman.approval (state, opened_at);

-- A run with its chain head, its lease and its first event: all that is needed to open a segment of one that has not begun.
CREATE VIEW pointsman.standing AS
SELECT r.*, s.salt, h.seq, h.hash, h.epoch, h.owner, h.expires_at, h.expires_at > now() AS live,
       j.time AS accepted_time, j.fields AS accepted_fields, j.payloads AS accepted_payloads
  FROM pointsman.run r JOIN pointsman.salt s USING (run_id) JOIN pointsman.head h USING (run_id)
  LEFT JOIN pointsman.journal j ON j.run_id = r.run_id AND j.seq = 1;

-- Extends the chain of one run if the caller still owns it and knows its head; otherwise nothing of the statement happens.
-- Rows come as JSON: one parameter of any length costs a client far less than an array for every column.
CREATE FUNCTION pointsman.extend(
    p_run text, p_epoch bigint, p_seq bigint, p_hash text, p_new_seq bigint, p_new_hash text, p_rows json, p_payloads json
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_epoch bigint;
BEGIN
    IF p_new_seq = p_seq THEN
        SELECT epoch INTO v_epoch FROM pointsman.head WHERE run_id = p_run FOR SHARE;
        IF v_epoch IS DISTINCT FROM p_epoch THEN
            RAISE EXCEPTION 'lease of run % is held under another epoch', p_run USING ERRCODE = 'PM001';
        END IF;
    ELSE
        UPDATE pointsman.head SET seq = p_new_seq, hash = p_new_hash
         WHERE run_id = p_run AND epoch = p_epoch AND seq = p_seq AND hash = p_hash;
        IF NOT FOUND THEN
            SELECT epoch INTO v_epoch FROM pointsman.head WHERE run_id = p_run;
            IF v_epoch IS DISTINCT FROM p_epoch THEN
                RAISE EXCEPTION 'lease of run % is held under another epoch', p_run USING ERRCODE = 'PM001';
            END IF;
            RAISE EXCEPTION 'the head of run % has moved', p_run USING ERRCODE = 'PM002';
        END IF;
        INSERT INTO pointsman.journal (run_id, seq, time, branch, position, kind, fields, payloads, prev, hash)
        SELECT p_run, r.seq, r.time, r.branch, r.position, r.kind, r.fields, r.payloads, r.prev, r.hash
          FROM json_to_recordset(p_rows)
            AS r (seq bigint, time text, branch int, position text, kind text, fields text, payloads text, prev text, hash text);
    END IF;
    INSERT INTO pointsman.payload (run_id, digest, body)
    SELECT p_run, r.digest, r.body FROM json_to_recordset(p_payloads) AS r (digest text, body text) ON CONFLICT DO NOTHING;
    RETURN true;
END $$;

-- A new run with its first event, or the run that holds its key already: how it stands.
CREATE FUNCTION pointsman.accept(
    p_run text, p_thread text, p_graph text, p_key text, p_salt bytea, p_hash text, p_rows json, p_payloads json
) RETURNS SETOF pointsman.standing LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pointsman.run (run_id, thread_id, graph, key, state) VALUES (p_run, p_thread, p_graph, p_key, 'accepted')
    ON CONFLICT (graph, key) DO NOTHING;
    IF FOUND THEN
        INSERT INTO pointsman.salt (run_id, salt) VALUES (p_run, p_salt);
        INSERT INTO pointsman.head (run_id, seq, hash) VALUES (p_run, 0, repeat('0', 64));
        PERFORM pointsman.extend(p_run, 0, 0, repeat('0', 64), 1, p_hash, p_rows, p_payloads);
        RETURN QUERY SELECT * FROM pointsman.standing WHERE run_id = p_run;
    ELSE
        RETURN QUERY SELECT * FROM pointsman.standing WHERE graph = p_graph AND key = p_key;
    END IF;
END $$;

-- Takes the lease of a run under the epoch p_epoch, if head and lease stand as the caller has seen them.
CREATE FUNCTION pointsman.claim(
    p_run text, p_epoch bigint, p_seq bigint, p_hash text, p_seen_owner text, p_seen_expiry timestamptz, p_owner text, p_ttl float
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pointsman.head SET epoch = p_epoch, owner = p_owner, expires_at = now() + make_interval(secs => p_ttl)
     WHERE run_id = p_run AND epoch = p_epoch - 1 AND seq = p_seq AND hash = p_hash
       AND owner IS NOT DISTINCT FROM p_seen_owner AND expires_at IS NOT DISTINCT FROM p_seen_expiry;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % does not stand as it was seen', p_run USING ERRCODE = 'PM004';
    END IF;
    RETURN true;
END $$;

-- Opens a segment: the lease, run.opened, the run's state; the payloads that are asked for come back.
CREATE FUNCTION pointsman.open(
    p_run text, p_epoch bigint, p_seq bigint, p_hash text, p_new_seq bigint, p_new_hash text, p_rows json, p_payloads json,
    p_seen_owner text, p_seen_expiry timestamptz, p_owner text, p_ttl float, p_version text, p_wanted text[]
) RETURNS TABLE (digest text, body text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pointsman.claim(p_run, p_epoch, p_seq, p_hash, p_seen_owner, p_seen_expiry, p_owner, p_ttl);
    PERFORM pointsman.extend(p_run, p_epoch, p_seq, p_hash, p_new_seq, p_new_hash, p_rows, p_payloads);
    UPDATE pointsman.run SET version = p_version, state = 'running', retryable = false, changed_at = now() WHERE run_id = p_run;
    RETURN QUERY SELECT p.digest, p.body FROM pointsman.payload p WHERE p.run_id = p_run AND p.digest = ANY (p_wanted);
END $$;

-- Closes a segment: its last events, the run's state, the lease let go; the run's row comes back.
CREATE FUNCTION pointsman.close(
    p_run text, p_epoch bigint, p_seq bigint, p_hash text, p_new_seq bigint, p_new_hash text, p_rows json, p_payloads json,
    p_state text, p_quarantined boolean, p_retryable boolean
) RETURNS SETOF pointsman.run LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pointsman.extend(p_run, p_epoch, p_seq, p_hash, p_new_seq, p_new_hash, p_rows, p_payloads);
    UPDATE pointsman.head SET owner = NULL, expires_at = NULL WHERE run_id = p_run AND epoch = p_epoch;
    RETURN QUERY UPDATE pointsman.run
       SET state = p_state, quarantined = p_quarantined, retryable = p_retryable, changed_at = now() WHERE run_id = p_run RETURNING *;
END $$;

-- Uses an approval up, once, or fails the transaction it is called in.
CREATE FUNCTION pointsman.consume(p_approval text, p_digest text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pointsman.approval SET state = 'consumed'
     WHERE approval_id = p_approval AND digest = p_digest AND state = 'approved' AND (expires_at IS NULL OR expires_at > now());
    IF NOT FOUND THEN
        RAISE EXCEPTION 'approval % does not stand for this call', p_approval USING ERRCODE = 'PM003';
    END IF;
    RETURN true;
END $$;
