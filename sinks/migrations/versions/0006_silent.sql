-- Entries of backfilled history: booked like any other, and no webhook was ever meant to tell of them.

ALTER TABLE entries ADD COLUMN silent boolean NOT NULL DEFAULT false;
