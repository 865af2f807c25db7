-- What operators changed, tried to change, and were denied. The order of ids is the order of writing.

CREATE TABLE audit (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  at       INTEGER NOT NULL,
  operator TEXT NOT NULL,
  role     TEXT,
  rpc      TEXT NOT NULL,
  object   TEXT NOT NULL,
  address  TEXT NOT NULL,
  outcome  TEXT NOT NULL,
  detail   TEXT NOT NULL,
  count    INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_by_time ON audit (at);
