-- What narrows a policy beside its rules: whose yes a question takes, what was revoked, and how often a tool may be called.
ALTER TABLE pointsman.approval ADD COLUMN roles text[];  -- every role whose yes it takes; null where anybody may give one
UPDATE pointsman.approval SET roles = ARRAY[role] WHERE role IS NOT NULL;
