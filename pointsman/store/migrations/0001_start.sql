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
    body   bytea NOT NULL,
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
CREATE FUNCTION pointsman.extend(
    p_run text, p_epoch bigint, p_seq bigint, p_hash text,
    p_seqs bigint[], p_times text[], p_branches int[], p_positions text[], p_kinds text[], p_fields text[], p_payloads text[],
    p_prevs text[], p_hashes text[], p_digests text[], p_bodies bytea[]
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_epoch bigint;
    v_count int := coalesce(array_length(p_seqs, 1), 0);
BEGIN
    IF v_count = 0 THEN
        SELECT epoch INTO v_epoch FROM pointsman.head WHERE run_id = p_run FOR SHARE;
        IF v_epoch IS DISTINCT FROM p_epoch THEN
            RAISE EXCEPTION 'lease of run % is held under another epoch', p_run USING ERRCODE = 'PM001';
        END IF;
    ELSE
        UPDATE pointsman.head SET seq = p_seqs[v_count], hash = p_hashes[v_count]
         WHERE run_id = p_run AND epoch = p_epoch AND seq = p_seq AND hash = p_hash;
        IF NOT FOUND THEN
            SELECT epoch INTO v_epoch FROM pointsman.head WHERE run_id = p_run;
            IF v_epoch IS DISTINCT FROM p_epoch THEN
                RAISE EXCEPTION 'lease of run % is held under another epoch', p_run USING ERRCODE = 'PM001';
            END IF;
            RAISE EXCEPTION 'the head of run % has moved', p_run USING ERRCODE = 'PM002';
        END IF;
        INSERT INTO pointsman.journal (run_id, seq, time, branch, position, kind, fields, payloads, prev, hash)
        SELECT p_run, * FROM unnest(p_seqs, p_times, p_branches, p_positions, p_kinds, p_fields, p_payloads, p_prevs, p_hashes);
    END IF;
    IF coalesce(array_length(p_digests, 1), 0) > 0 THEN
        INSERT INTO pointsman.payload (run_id, digest, body)
        SELECT p_run, * FROM unnest(p_digests, p_bodies) ON CONFLICT DO NOTHING;
    END IF;
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
