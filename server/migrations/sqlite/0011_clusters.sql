-- Search clusters, of which the server keeps findings of its own as it does of hosts.

CREATE TABLE search_clusters (
  host    INTEGER PRIMARY KEY REFERENCES hosts (id) ON DELETE CASCADE,
  -- Of hosts, as tokens name it.
  cluster TEXT NOT NULL,
  uuid    TEXT NOT NULL,
  UNIQUE (cluster, uuid)
) STRICT;

-- What hosts say of their search nodes: who restarts must know whose nodes are whose before anybody is heard of. JSON.
CREATE TABLE members (
  host   INTEGER PRIMARY KEY REFERENCES hosts (id) ON DELETE CASCADE,
  member TEXT NOT NULL
) STRICT;
