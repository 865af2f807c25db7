-- History is read as windows from an opening to its end, and thrown away by the end.

CREATE INDEX history_openings ON history (id) WHERE kind IN ('opened', 'reopened');
CREATE INDEX history_ends ON history (told_at) WHERE kind IN ('resolved', 'retired');
CREATE INDEX history_unopened ON history (told_at) WHERE episode = 0;

-- When the server was told that an alert is over: how long it is kept does not depend on a host's clock.
ALTER TABLE alerts ADD COLUMN over_at INTEGER;
UPDATE alerts SET over_at = ended_at WHERE ended_at IS NOT NULL;
CREATE INDEX alerts_over ON alerts (over_at) WHERE ended_at IS NOT NULL;
