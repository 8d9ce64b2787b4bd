"""The SQL that issues statements.

One pass over the movements gives what every merchant and every publisher moved on each day; running sums give
the balances; what was said before is compared figure by figure.
"""

KNOWN_AT = "SELECT clock_timestamp()"
# A number of its own: all transactions that wrote before have lower ones.
WRITES_BEGUN = "SELECT pg_current_xact_id()::text"
STILL_WRITING = "SELECT pg_snapshot_xmin(pg_current_snapshot()) < %s::text::xid8"
# The earliest day that is not over yet, wherever a merchant is.
DAYS_OVER = """
SELECT min((clock_timestamp() AT TIME ZONE timezone)::date)
FROM (SELECT timezone FROM merchants UNION SELECT 'UTC') AS zone
"""

_MOVED = (
    "entries", "created", "cleared", "reverted", "reversed", "vouchers", "commission_created",
    "commission_cleared", "commission_reverted", "commission_reversed",
)  # fmt: skip
# Balances by what adds to them.
_BALANCES = {
    "pending": "created - cleared - reverted",
    "earned": "cleared - reversed - vouchers",
    "commission_pending": "commission_created - commission_cleared - commission_reverted",
    "commission": "commission_cleared - commission_reversed",
}
FIGURES = (
    *_MOVED,
    *(f"{moment}_{balance}" for balance in _BALANCES for moment in ("opening", "closing")),
)


def _sums() -> str:
    return ",\n           ".join(
        f"coalesce(sum({amount}) FILTER (WHERE transition = '{transition}'), 0)::bigint AS {name}"
        for prefix, amount in (("", "reward"), ("commission_", "commission"))
        for transition in ("created", "cleared", "reverted", "reversed")
        for name in (prefix + transition,)
    )


def _running() -> str:
    return ",\n           ".join(
        f"coalesce(sum({change}) OVER so_far, 0)::bigint AS closing_{balance},\n           "
        f"(coalesce(sum({change}) OVER so_far, 0) - ({change}))::bigint AS opening_{balance}"
        for balance, change in _BALANCES.items()
    )


def _said(source: str) -> str:
    return ", ".join(f"'{name}', {source}.{name}" for name in FIGURES)


_TOTALS = ", ".join(f"sum({name})::bigint AS {name}" for name in _MOVED)
_NOTHING = ", ".join(f"0::bigint AS {name}" for name in _MOVED)
_NO_CASHBACK = ", ".join(f"0::bigint AS {name}" for name in _MOVED if name not in ("entries", "vouchers"))
_OWN = ", ".join(_MOVED)

ISSUE = f"""
WITH moved AS MATERIALIZED (
    SELECT livemode, partner_id, merchant_id, asset, day, count(*) AS entries, 0::bigint AS vouchers,
           {_sums()}
    FROM cashback_movements WHERE posted_at <= %(known_at)s
    GROUP BY livemode, partner_id, merchant_id, asset, day
), spent AS MATERIALIZED (
    SELECT livemode, partner_id, asset, day, count(*) AS entries, sum(amount)::bigint AS vouchers,
           {_NO_CASHBACK}
    FROM voucher_movements WHERE posted_at <= %(known_at)s
    GROUP BY livemode, partner_id, asset, day
), sides AS (
    SELECT 'merchant' AS side, merchant_id AS party_id, livemode, asset, day, {_OWN} FROM moved
    WHERE %(publisher)s::text IS NULL AND (%(merchant)s::text IS NULL OR merchant_id = %(merchant)s)
    UNION ALL
    SELECT 'publisher', partner_id, livemode, asset, day, {_OWN} FROM (
        SELECT livemode, partner_id, asset, day, {_OWN} FROM moved
        UNION ALL SELECT livemode, partner_id, asset, day, {_OWN} FROM spent
    ) AS of_members
    WHERE %(merchant)s::text IS NULL AND (%(publisher)s::text IS NULL OR partner_id = %(publisher)s)
), parties AS (
    SELECT side, party_id, livemode, asset, min(day) AS first_day FROM sides
    GROUP BY side, party_id, livemode, asset
), wanted AS (
    SELECT side, party_id, livemode, asset, day
    FROM statements JOIN parties USING (side, party_id, livemode, asset)
    UNION
    SELECT side, party_id, livemode, asset, day::date
    FROM parties CROSS JOIN generate_series(%(since)s::date, %(until)s::date, interval '1 day') AS day
    WHERE day >= first_day
), daily AS (
    SELECT side, party_id, livemode, asset, day, bool_or(is_wanted) AS is_wanted, {_TOTALS}
    FROM (
        SELECT side, party_id, livemode, asset, day, false AS is_wanted, {_OWN} FROM sides
        UNION ALL SELECT side, party_id, livemode, asset, day, true, {_NOTHING} FROM wanted
    ) AS said GROUP BY side, party_id, livemode, asset, day
), running AS (
    SELECT *,
           {_running()}
    FROM daily
    WINDOW so_far AS (PARTITION BY side, party_id, livemode, asset ORDER BY day)
), compared AS (
    SELECT running.*, before.revision, before.known_at AS known_before, before.entries AS entries_before,
           (SELECT jsonb_object_agg(key, jsonb_build_array(old.value, new.value))
            FROM jsonb_each(jsonb_build_object({_said("before")})) AS old
            JOIN jsonb_each(jsonb_build_object({_said("running")})) AS new USING (key)
            WHERE old.value <> new.value) AS changed
    FROM running LEFT JOIN statements_now AS before USING (side, party_id, livemode, asset, day)
    WHERE is_wanted
)
INSERT INTO statements (statement_id, side, party_id, livemode, asset, day, revision, known_at,
    {", ".join(FIGURES)}, changed, late_events)
SELECT 'stm_' || left(encode(sha256(convert_to(concat_ws(chr(31),
           CASE WHEN livemode THEN 'live' ELSE 'test' END, side, party_id, asset, day,
           coalesce(revision, 0) + 1), 'UTF8')), 'hex'), 24),
    side, party_id, livemode, asset, day, coalesce(revision, 0) + 1, %(known_at)s, {", ".join(FIGURES)},
    CASE WHEN revision IS NOT NULL THEN changed END,
    CASE WHEN entries > entries_before THEN ARRAY(
        SELECT event_id FROM cashback_movements AS late
        WHERE late.posted_at > known_before AND late.posted_at <= %(known_at)s
          AND late.event_at >= compared.day::timestamptz - interval '1 day'
          AND late.event_at < compared.day::timestamptz + interval '2 days'
          AND (late.livemode, late.asset, late.day) = (compared.livemode, compared.asset, compared.day)
          AND CASE side WHEN 'merchant' THEN late.merchant_id ELSE late.partner_id END = party_id
        ORDER BY late.event_at, late.entry_id LIMIT 100
    ) ELSE '{{}}' END
FROM compared WHERE revision IS NULL OR changed IS NOT NULL
"""  # noqa: S608 - put together from constants
