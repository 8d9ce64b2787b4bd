-- Who did what by hand, and why: append-only, each row bound to the one before it by a hash.

CREATE TABLE audit_log (
    audit_no      bigint PRIMARY KEY,
    at            timestamptz NOT NULL,
    actor         text NOT NULL CHECK (actor <> ''),
    action        text NOT NULL CHECK (action <> ''),
    subject       text NOT NULL CHECK (subject <> ''),
    reason        text NOT NULL CHECK (reason <> ''),
    -- As it was written, to the byte: the hash covers it.
    details       json NOT NULL,
    previous_hash bytea NOT NULL UNIQUE,
    hash          bytea NOT NULL UNIQUE,
    -- The fields are joined by U+001F under the hash; none but the last may hold one, and JSON never does.
    CHECK (position(chr(31) IN actor || action || subject || reason) = 0)
);
CREATE INDEX audit_log_of_subject ON audit_log (subject, audit_no);

-- Number and hash of the latest row. Whoever appends holds this row to the end of the transaction, so two never
-- follow the same row; and rows cut off the end of the log are missed here.
CREATE TABLE audit_head (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    audit_no bigint NOT NULL,
    hash     bytea NOT NULL
);
INSERT INTO audit_head (audit_no, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

-- Number, time and hashes are given here and nowhere else, whoever inserts.
CREATE FUNCTION chain_audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    SELECT audit_no + 1, hash INTO STRICT NEW.audit_no, NEW.previous_hash FROM audit_head FOR UPDATE;
    NEW.at := clock_timestamp();
    NEW.hash := sha256(NEW.previous_hash || convert_to(concat_ws(chr(31), NEW.audit_no,
        (extract(epoch FROM NEW.at) * 1000000)::bigint, NEW.actor, NEW.action, NEW.subject, NEW.reason,
        NEW.details), 'UTF8'));
    UPDATE audit_head SET audit_no = NEW.audit_no, hash = NEW.hash;
    RETURN NEW;
END $$;
CREATE TRIGGER chain_audit BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION chain_audit();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION refuse_change_of_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Depth 1 is this trigger alone: no row of the log caused the change.
    IF TG_OP = 'UPDATE' AND pg_trigger_depth() > 1 THEN RETURN NULL; END IF;
    RAISE EXCEPTION 'audit_head follows audit_log: direct % refused; insert into audit_log instead', TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER follows_log BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_head();

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_writer') THEN
        GRANT SELECT ON audit_log, audit_head TO cashback_writer;
        GRANT INSERT (actor, action, subject, reason, details) ON audit_log TO cashback_writer;
    END IF;
END $$;
