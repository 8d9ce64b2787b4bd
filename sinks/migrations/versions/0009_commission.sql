-- Commission by volume: what merchants cleared by month, the tiers, and the rates that were recorded.

-- Rewards cleared for a merchant with a partner, by calendar month of the merchant. Moved with the entries.
CREATE TABLE merchant_volumes (
    funding_account bigint NOT NULL REFERENCES accounts,
    month           date NOT NULL CHECK (extract(day FROM month) = 1),
    cleared         bigint NOT NULL CHECK (cleared > 0),
    PRIMARY KEY (funding_account, month)
) WITH (fillfactor = 60);
INSERT INTO merchant_volumes (funding_account, month, cleared)
SELECT cashbacks.funding_account,
       date_trunc('month', entries.event_at AT TIME ZONE coalesce(merchants.timezone, 'UTC'))::date,
       sum(cashbacks.amount)
FROM entries JOIN cashbacks USING (cashback_no)
JOIN accounts ON accounts.account_id = cashbacks.funding_account
LEFT JOIN merchants USING (merchant_id)
WHERE entries.transition = 'cleared' GROUP BY 1, 2;
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON merchant_volumes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The latest set is in force, as a whole; one without tiers means the flat rate of the settings.
CREATE TABLE commission_tier_sets (
    set_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    set_at timestamptz NOT NULL DEFAULT now()
);
-- From a volume on (minor units of the asset, or points) this rate. No merchant: for all others; no asset: for
-- all others.
CREATE TABLE commission_tiers (
    set_no      bigint NOT NULL REFERENCES commission_tier_sets,
    merchant_id text COLLATE "C",
    asset       text COLLATE "C" CHECK (asset IN ('EUR', 'USD', 'GBP', 'CAD', 'XXX')),
    from_volume bigint NOT NULL CHECK (from_volume >= 0),
    rate_bps    integer NOT NULL CHECK (rate_bps BETWEEN 0 AND 10000),
    UNIQUE NULLS NOT DISTINCT (set_no, merchant_id, asset, from_volume)
);
CREATE VIEW commission_tiers_now AS
    SELECT * FROM commission_tiers WHERE set_no = (SELECT max(set_no) FROM commission_tier_sets);

-- A fact: the rate of a merchant with a partner for a month of the merchant, and the volume it followed from.
CREATE TABLE merchant_rates (
    livemode    boolean NOT NULL,
    partner_id  text COLLATE "C" NOT NULL,
    merchant_id text COLLATE "C" NOT NULL,
    asset       text COLLATE "C" NOT NULL CHECK (asset IN ('EUR', 'USD', 'GBP', 'CAD', 'XXX')),
    month       date NOT NULL CHECK (extract(day FROM month) = 1),
    volume      bigint NOT NULL CHECK (volume >= 0),
    rate_bps    integer NOT NULL CHECK (rate_bps BETWEEN 0 AND 10000),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partner_id, merchant_id, asset, month, livemode)
);

DO $$
DECLARE protected text;
BEGIN
    FOREACH protected IN ARRAY ARRAY['commission_tier_sets', 'commission_tiers', 'merchant_rates'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', protected);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_writer') THEN
        GRANT SELECT, INSERT ON commission_tier_sets, commission_tiers, merchant_rates TO cashback_writer;
        GRANT SELECT, INSERT, UPDATE (cleared) ON merchant_volumes TO cashback_writer;
        GRANT SELECT ON commission_tiers_now TO cashback_writer;
    END IF;
END $$;
