-- An episode may end because its asset is gone for good, as an operator says.

DROP INDEX history_ends;
CREATE INDEX history_ends ON history (told_at) WHERE kind IN ('resolved', 'retired', 'asset_retired');
