-- A finding that fails and gets more severe is told of by another alert: `alerting` is the number of the one that
-- fires in its episode (0: none), and here is its severity.

ALTER TABLE findings ADD COLUMN alerted_severity INTEGER NOT NULL DEFAULT 0;
UPDATE findings SET alerted_severity = severity WHERE alerting;
