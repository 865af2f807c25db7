-- Messages that were given up are counted at every scrape.

CREATE INDEX deliveries_failed ON deliveries (notifier) WHERE status = 'failed';
