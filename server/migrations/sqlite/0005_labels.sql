-- Labels: what operators sort hosts by. A host has those of the token that it enrolled with, as a JSON object.

ALTER TABLE tokens ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE hosts ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
