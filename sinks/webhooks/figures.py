"""What the queue and the delivery log add up to."""

import psycopg

_FIGURES = """
SELECT (SELECT count(*) FROM webhook_queue),
       count(*) FILTER (WHERE outcome = 'delivered'),
       count(*) FILTER (WHERE outcome = 'failed'),
       count(*) FILTER (WHERE outcome = 'gave_up')
FROM webhook_attempts
"""


def figures(database_url: str) -> dict[str, int]:
    """Messages over all endpoints: ``{"queued", "delivered", "failed_attempts", "given_up"}``.

    `delivered` counts each message once, however often it was sent.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute(_FIGURES).fetchone()
    assert row is not None
    queued, delivered, failed, given_up = row
    return {"queued": queued, "delivered": delivered, "failed_attempts": failed, "given_up": given_up}
