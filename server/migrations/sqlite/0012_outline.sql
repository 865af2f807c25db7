-- What the last report said of how things stand, without its words: a report that says the same changes no finding.
-- NULL until the next report.

ALTER TABLE hosts ADD COLUMN outline BLOB;
