-- Times are microseconds since 1970. Words are spelled as in the product's contract.

CREATE TABLE tokens (
  token_id    TEXT PRIMARY KEY,
  secret_hash BLOB NOT NULL UNIQUE,
  cluster     TEXT NOT NULL,
  uses_left   INTEGER NOT NULL CHECK (uses_left >= 0),
  created_at  INTEGER NOT NULL,
  expires_at  INTEGER NOT NULL,
  revoked_at  INTEGER,
  replaces    TEXT
) STRICT;

CREATE TABLE hosts (
  id                  INTEGER PRIMARY KEY,
  host_id             TEXT NOT NULL UNIQUE,
  hostname            TEXT NOT NULL,
  machine_fingerprint TEXT NOT NULL,
  cluster             TEXT NOT NULL,
  token_id            TEXT NOT NULL,
  key_pin             BLOB NOT NULL,
  facts               TEXT NOT NULL,
  enrolled_at         INTEGER NOT NULL,
  last_seen_at        INTEGER NOT NULL,
  observed_at         INTEGER,
  revision            INTEGER NOT NULL DEFAULT 0,
  sequence            INTEGER NOT NULL DEFAULT 0,
  digest              BLOB,
  verdict             TEXT NOT NULL DEFAULT 'unknown',
  silent              INTEGER NOT NULL DEFAULT 0,
  -- The place of the present state from the worst: lists are sorted by it.
  rank                INTEGER NOT NULL,
  failing             INTEGER NOT NULL DEFAULT 0,
  firing              INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX hosts_machine ON hosts (machine_fingerprint) WHERE machine_fingerprint <> '';
CREATE INDEX hosts_worst_first ON hosts (rank, hostname, host_id);
CREATE INDEX hosts_by_name ON hosts (hostname);

-- Apart from the host's row, which is small and often read.
CREATE TABLE postures (
  host INTEGER PRIMARY KEY REFERENCES hosts (id) ON DELETE CASCADE,
  body BLOB NOT NULL
) STRICT;

CREATE TABLE findings (
  host          INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
  check_id      TEXT NOT NULL,
  asset         TEXT NOT NULL,
  outcome       TEXT NOT NULL,
  severity      INTEGER NOT NULL,
  content       BLOB NOT NULL,
  first_seen_at INTEGER NOT NULL,
  changed_at    INTEGER NOT NULL,
  opened_at     INTEGER,
  episode       INTEGER NOT NULL,
  alerting      INTEGER NOT NULL,
  absent_since  INTEGER,
  body          TEXT NOT NULL,
  place         TEXT NOT NULL,
  PRIMARY KEY (host, check_id, asset)
) STRICT, WITHOUT ROWID;
CREATE INDEX findings_not_passing ON findings (severity DESC, host, check_id, asset)
  WHERE opened_at IS NOT NULL OR outcome IN ('fail', 'unknown');

-- What happened to findings, kept even when it is over: exposure windows are read from here.
CREATE TABLE history (
  id       INTEGER PRIMARY KEY,
  host     INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
  check_id TEXT NOT NULL,
  asset    TEXT NOT NULL,
  episode  INTEGER NOT NULL,
  kind     TEXT NOT NULL,
  -- When the host saw it, and when the server was told.
  at       INTEGER NOT NULL,
  told_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX history_by_asset ON history (host, check_id, asset, id);

CREATE TABLE alerts (
  id         INTEGER PRIMARY KEY,
  alert_id   TEXT NOT NULL UNIQUE,
  host       INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
  hostname   TEXT NOT NULL,
  cluster    TEXT NOT NULL,
  finding    TEXT NOT NULL,
  path       TEXT NOT NULL,
  devices    TEXT NOT NULL,
  episode    INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at   INTEGER
) STRICT;
CREATE INDEX alerts_newest_first ON alerts (id) WHERE ended_at IS NULL;

-- The outbox: what is to be told to whom, written with the change that it tells of.
CREATE TABLE deliveries (
  delivery_id  INTEGER PRIMARY KEY AUTOINCREMENT,
  alert        INTEGER NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
  notifier     TEXT NOT NULL,
  state        TEXT NOT NULL,
  status       TEXT NOT NULL DEFAULT 'pending',
  attempts     INTEGER NOT NULL DEFAULT 0,
  next_at      INTEGER NOT NULL,
  last_error   TEXT NOT NULL DEFAULT '',
  delivered_at INTEGER,
  UNIQUE (alert, notifier, state)
) STRICT;
CREATE INDEX deliveries_pending ON deliveries (notifier, next_at) WHERE status = 'pending';
