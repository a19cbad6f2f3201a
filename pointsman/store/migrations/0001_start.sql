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
