-- One unfinished run to a thread: two would go on from each other's checkpoints.
CREATE UNIQUE INDEX run_unfinished ON pointsman.run (thread_id) WHERE state NOT IN ('done', 'failed', 'cancelled');
