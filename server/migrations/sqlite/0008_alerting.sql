-- Messages of one asset go out in order, whichever alert they tell of; in quiet hours the severe ones go out.

ALTER TABLE deliveries ADD COLUMN subject TEXT NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN severity INTEGER NOT NULL DEFAULT 0;
-- How often it was told before.
ALTER TABLE deliveries ADD COLUMN repeat INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN failed_at INTEGER;
UPDATE deliveries SET
  subject = alerts.host || ':' || (finding ->> '$.check') || ':' || (finding ->> '$.asset'),
  severity = CASE finding ->> '$.severity'
    WHEN 'info' THEN 0 WHEN 'low' THEN 1 WHEN 'medium' THEN 2 WHEN 'high' THEN 3 ELSE 4 END
FROM alerts WHERE alerts.id = deliveries.alert;
CREATE INDEX deliveries_in_turn ON deliveries (notifier, subject, delivery_id) WHERE status = 'pending';
CREATE INDEX deliveries_told ON deliveries (notifier, delivered_at)
  WHERE status = 'delivered' AND state = 'firing';

-- An operator has seen the alert, and takes care of it.
ALTER TABLE alerts ADD COLUMN ack_at INTEGER;
ALTER TABLE alerts ADD COLUMN ack_by TEXT NOT NULL DEFAULT '';
ALTER TABLE alerts ADD COLUMN ack_comment TEXT NOT NULL DEFAULT '';
-- NULL: as long as it goes on.
ALTER TABLE alerts ADD COLUMN ack_until INTEGER;
