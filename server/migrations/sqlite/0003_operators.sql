-- Operators that admins made, beside those that the configuration names.

CREATE TABLE operators (
  id          INTEGER PRIMARY KEY,
  operator_id TEXT NOT NULL UNIQUE,
  name        TEXT NOT NULL,
  role        TEXT NOT NULL,
  -- SHA-256: the token itself is kept nowhere.
  token_hash  BLOB NOT NULL UNIQUE,
  created_at  INTEGER NOT NULL,
  created_by  TEXT NOT NULL,
  -- NULL: never.
  expires_at  INTEGER,
  revoked_at  INTEGER
) STRICT;
CREATE UNIQUE INDEX operators_by_name ON operators (name) WHERE revoked_at IS NULL;
