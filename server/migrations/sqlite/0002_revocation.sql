-- Hosts whose enrolment an operator ended, and what ended with them.

ALTER TABLE hosts ADD COLUMN revoked_at INTEGER;
ALTER TABLE hosts ADD COLUMN revoked_by TEXT NOT NULL DEFAULT '';
ALTER TABLE hosts ADD COLUMN revoked_reason TEXT NOT NULL DEFAULT '';

ALTER TABLE findings ADD COLUMN retired_at INTEGER;

-- Why an alert is over. Until now, there was one reason.
ALTER TABLE alerts ADD COLUMN end_reason TEXT;
UPDATE alerts SET end_reason = 'passed' WHERE ended_at IS NOT NULL;
