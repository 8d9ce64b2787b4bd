-- Where in the log each payment is, and what else it takes to read the life of one payment at once.

-- One row a record about a payment. Derived: emptied together with the positions of the sink `places`, it is
-- filled again from the topics. reference: 64 bits of SHA-256 over mode, partner and the partner's id.
CREATE TABLE payment_places (
    reference     bigint NOT NULL,
    topic         text COLLATE "C" NOT NULL,
    partition     integer NOT NULL,
    record_offset bigint NOT NULL
);
CREATE INDEX payment_places_reference ON payment_places (reference);

-- Both grow at their end, as their tables do.
CREATE INDEX cashbacks_of_purchase ON cashbacks (purchase_no);
CREATE INDEX webhook_attempts_of_entry ON webhook_attempts (entry_id);
-- By hash: a key may be longer than what fits into a tree.
CREATE INDEX ledger_quarantine_of_key ON ledger_quarantine USING hash (record_key);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_writer') THEN
        GRANT SELECT, INSERT ON payment_places TO cashback_writer;
    END IF;
END $$;
