-- Every statement of the store, by name.

-- name: extend
-- One owner's events and payloads, alone.
SELECT pointsman.extend(%s, %s, %s, %s, %s, %s, %s::json, %s::json)

-- name: extend_permitted
-- The same for what may follow only while nothing that its owner does not know was revoked, and while each rate of the tool leaves room.
SELECT pointsman.extend_permitted(%s, %s, %s, %s, %s, %s, %s::json, %s::json, %s::bigint, %s, %s::int[], %s::float8[])

-- name: extend_with_checkpoint
-- The same together with LangGraph's writes, blobs and checkpoint: all or nothing, in one round trip.
WITH fence AS MATERIALIZED (
    SELECT pointsman.extend(%s, %s, %s, %s, %s, %s, %s::json, %s::json) AS ok
), writes AS (
    INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    SELECT w.thread_id, w.checkpoint_ns, w.checkpoint_id, w.task_id, w.task_path, w.idx, w.channel, w.type, decode(w.blob, 'hex')
    FROM fence, json_to_recordset(%s::json)
      AS w (thread_id text, checkpoint_ns text, checkpoint_id text, task_id text, task_path text, idx int, channel text, type text, blob text)
    WHERE fence.ok
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO UPDATE SET channel = EXCLUDED.channel, type = EXCLUDED.type, blob = EXCLUDED.blob
    WHERE EXCLUDED.idx < 0
), blobs AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT b.thread_id, b.checkpoint_ns, b.channel, b.version, b.type, decode(b.blob, 'hex')
    FROM fence, json_to_recordset(%s::json) AS b (thread_id text, checkpoint_ns text, channel text, version text, type text, blob text)
    WHERE fence.ok
    ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING
)
INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
SELECT c.thread_id, c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id, c.checkpoint::jsonb, c.metadata::jsonb
FROM fence, json_to_recordset(%s::json)
  AS c (thread_id text, checkpoint_ns text, checkpoint_id text, parent_checkpoint_id text, checkpoint text, metadata text)
WHERE fence.ok
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id) DO UPDATE SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata

-- name: accept
SELECT * FROM pointsman.accept(%s, %s, %s, %s, %s, %s, %s::json, %s::json)

-- name: open
SELECT * FROM pointsman.open(%s, %s, %s, %s, %s, %s, %s::json, %s::json, %s, %s, %s, %s, %s, %s)

-- name: close
SELECT * FROM pointsman.close(%s, %s, %s, %s, %s, %s, %s::json, %s::json, %s, %s, %s)

-- name: claim
SELECT pointsman.claim(%s, %s, %s, %s, %s, %s, %s, %s)

-- name: standing
SELECT * FROM pointsman.standing WHERE run_id = %s

-- name: standing_by_key
SELECT * FROM pointsman.standing WHERE graph = %s AND key = %s

-- name: insert_payload
INSERT INTO pointsman.payload (run_id, digest, body) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING

-- name: end_if_stopped
-- A process that is stopped in the middle of a transaction must not keep others from the rows it has locked.
SELECT set_config(CASE WHEN current_setting('server_version_num')::int >= 170000 THEN 'transaction_timeout' ELSE 'idle_in_transaction_session_timeout' END, '10s', true)

-- name: see_one_instant
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: lock_head
SELECT seq, hash, epoch FROM pointsman.head WHERE run_id = %s FOR UPDATE

-- name: read_head
SELECT seq, hash, epoch FROM pointsman.head WHERE run_id = %s

-- name: renew
-- Only what is still held: a run that this owner has let slip is free for others when its lease ends.
UPDATE pointsman.head SET expires_at = now() + make_interval(secs => %s) WHERE owner = %s AND run_id = ANY(%s::text[]) RETURNING run_id, epoch

-- name: release
UPDATE pointsman.head SET owner = NULL, expires_at = NULL WHERE run_id = %s AND epoch = %s

-- name: set_state
UPDATE pointsman.run SET state = %s, quarantined = %s, retryable = %s, changed_at = now() WHERE run_id = %s

-- name: open_run
UPDATE pointsman.run SET version = %s, state = 'running', retryable = false, changed_at = now() WHERE run_id = %s

-- name: read_run
SELECT * FROM pointsman.run WHERE run_id = %s

-- name: find_runs
-- A run by the beginning of its id, or the newest on a thread.
SELECT * FROM pointsman.run WHERE run_id LIKE %s || '%%'
   OR run_id = (SELECT run_id FROM pointsman.run WHERE thread_id = %s ORDER BY accepted_at DESC LIMIT 1) ORDER BY accepted_at LIMIT 2

-- name: thread_run
-- The unfinished run on a thread, else the one whose state the thread holds.
SELECT * FROM pointsman.standing WHERE thread_id = %s
 ORDER BY state IN ('done', 'failed', 'cancelled'), changed_at DESC, accepted_at DESC LIMIT 1

-- name: list_runs
SELECT * FROM pointsman.run
WHERE (%s::text IS NULL OR graph = %s) AND (%s::text[] IS NULL OR state = ANY (%s::text[]))
ORDER BY accepted_at DESC, run_id LIMIT %s

-- name: unsettled_runs
-- Runs that have not settled, or whose questions are all answered: what a killed process left is among them.
SELECT r.* FROM pointsman.run r JOIN pointsman.head h USING (run_id)
WHERE (r.state IN ('accepted', 'running')
       OR r.state = 'waiting' AND NOT EXISTS (SELECT FROM pointsman.approval a WHERE a.run_id = r.run_id AND a.state = 'open'))
  AND (%s::text IS NULL OR r.graph = %s) ORDER BY r.accepted_at

-- name: read_events
SELECT seq, time, branch, position, kind, fields, payloads, prev, hash FROM pointsman.journal WHERE run_id = %s AND seq > %s ORDER BY seq

-- name: read_reach
-- Of the events of a run those that say how confidential it is: what it was given, and the calls of tools whose answers have a label.
SELECT seq, time, branch, position, kind, fields, payloads, prev, hash FROM pointsman.journal
 WHERE run_id = %s AND (kind IN ('run.accepted', 'run.repaired') OR fields::json -> 'label' IS NOT NULL OR fields::json ->> 'call' IN (
    SELECT fields::json ->> 'call' FROM pointsman.journal WHERE run_id = %s AND fields::json -> 'label' IS NOT NULL))
 ORDER BY seq

-- name: read_salt
SELECT salt FROM pointsman.salt WHERE run_id = %s

-- name: read_payloads
SELECT digest, body FROM pointsman.payload WHERE run_id = %s AND digest = ANY (%s::text[])

-- name: read_all_payloads
SELECT digest, body FROM pointsman.payload WHERE run_id = %s

-- name: open_approval
INSERT INTO pointsman.approval (approval_id, run_id, position, digest, card_digest, tool, node, role, roles, state, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s::text[], 'open', %s) ON CONFLICT DO NOTHING

-- name: approvals_of
SELECT * FROM pointsman.approval WHERE run_id = %s ORDER BY opened_at

-- name: inbox
SELECT a.*, r.graph, p.body AS card FROM pointsman.approval a JOIN pointsman.run r USING (run_id)
LEFT JOIN pointsman.payload p ON p.run_id = a.run_id AND p.digest = a.card_digest
WHERE a.state = 'open' AND r.state IN ('waiting', 'parked') AND (%s::text IS NULL OR a.roles IS NULL OR %s = ANY (a.roles)) ORDER BY a.opened_at

-- name: calls_of_stopped_runs
-- What tells which calls of runs that wait for somebody have no outcome.
SELECT r.graph, j.* FROM pointsman.run r JOIN pointsman.journal j USING (run_id)
WHERE r.state IN ('waiting', 'parked') AND j.kind IN ('call.intent', 'call.outcome', 'call.reconciled') ORDER BY r.accepted_at, j.run_id, j.seq

-- name: closed_approvals
-- Those that nobody can decide any more.
SELECT a.*, r.graph FROM pointsman.approval a JOIN pointsman.run r USING (run_id)
WHERE starts_with(a.approval_id, %s) AND (a.state <> 'open' OR r.state IN ('done', 'failed', 'cancelled')) LIMIT 2

-- name: set_approval
UPDATE pointsman.approval SET state = %s, decided_by = coalesce(%s, decided_by) WHERE approval_id = %s

-- name: clock
SELECT now() AS now

-- name: consume_approval
-- Fails the transaction unless the approval still stands for exactly this call.
SELECT pointsman.consume(%s, %s)

-- name: branch_of
SELECT max(branch) AS branch FROM pointsman.journal WHERE run_id = %s

-- name: runs_with_due_approvals
SELECT DISTINCT a.run_id FROM pointsman.approval a JOIN pointsman.run r USING (run_id)
WHERE a.state = 'open' AND a.expires_at <= %s AND r.state NOT IN ('done', 'failed', 'cancelled') AND (%s::text IS NULL OR a.run_id = %s)

-- name: revoke
SELECT * FROM pointsman.revoke(%s, %s, %s, %s)

-- name: reinstate
SELECT * FROM pointsman.reinstate(%s, %s, %s, %s)

-- name: revocations
SELECT * FROM pointsman.revocation ORDER BY number

-- name: calls_on_record
-- Whether a call of this tool, or one that this rule decided, is on record.
SELECT 1 FROM pointsman.journal
WHERE kind IN ('call.intent', 'call.denied') AND CASE WHEN %s THEN fields::json ->> 'target' = %s ELSE fields::json ->> 'rule' = %s END LIMIT 1

-- name: runs_with_standing_approvals
SELECT DISTINCT a.run_id FROM pointsman.approval a JOIN pointsman.run r USING (run_id)
WHERE a.state IN ('open', 'approved') AND a.tool <> '' AND r.state NOT IN ('done', 'failed', 'cancelled')

-- name: spending_events
-- What tells of calls, questions and time, of several runs.
SELECT run_id, seq, time, branch, position, kind, fields FROM pointsman.journal
WHERE run_id = ANY (%s::text[]) AND kind IN (
    'run.opened', 'step.started', 'step.finished', 'call.outcome', 'run.waiting', 'run.parked', 'ask.opened'
) ORDER BY run_id, seq
