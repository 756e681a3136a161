"""Every bound of the CRM replica: each with its unit and the reason for its size.

Bounds that vendors set, and may change, are settings: these are their defaults.
"""

from typing import Final

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of one answer of a vendor: a page of 2,000 records of 32 KiB each."""

SALESFORCE_COLLECTION_MAX: Final = 200
"""Records in one sObject Collections request: the vendor's limit."""

SALESFORCE_PAGE_MAX: Final = 2_000
"""Records in one page of a query: the vendor's largest page."""

SALESFORCE_BULK_MIN: Final = 2_000
"""Records from which on a write or a load goes through Bulk API 2.0, as the vendor recommends."""

SALESFORCE_RESULTS_MAX: Final = 10_000
"""Records in one page of the results of a query job: what a crash makes us read again."""

SALESFORCE_BULK_BYTES_MAX: Final = 100_000_000
"""Bytes of one bulk job: the vendor takes 150 MB after base64, which is 100 MB before."""

HUBSPOT_BATCH_MAX: Final = 100
"""Inputs of one batch request: the vendor's limit."""

HUBSPOT_SEARCH_MAX: Final = 10_000
"""Results that one search can page through: the vendor's limit. Beyond it a new search starts."""

HUBSPOT_WEBHOOK_EVENTS_MAX: Final = 100
"""Events in one webhook request: the vendor's limit."""

HUBSPOT_SIGNATURE_AGE_MS_MAX: Final = 300_000
"""Milliseconds that a signed request may be old, or ahead of us: the vendor's five minutes."""

WEBHOOK_BODY_BYTES_MAX: Final = 1024 * 1024
"""Bytes of one webhook request: 100 events of 10 KiB each."""

FEED_PAGE_MAX: Final = 1_000
"""Changes of the feed that one round looks at: what a crash makes it look at again."""

PLANNED_MAX: Final = 50
"""Profiles that are compared in one go: at 0.5 ms each, webhooks wait no longer than 25 ms."""

ABSORBED_MAX: Final = 100
"""Sightings in one commit: they are applied in one go, and nobody else has a turn meanwhile."""

REREADS_MAX: Final = 2_000
"""Records to be read again that one round looks at."""

ROUNDS_MAX: Final = 8
"""Times that a row which may succeed later is sent again before it is a dead letter."""

ATTEMPTS_MAX: Final = 6
"""Times that one request is sent before its conversation ends with an error."""

BACKOFF_MIN_S: Final = 0.5
"""Seconds before the first repetition; each later one waits twice as long, with jitter."""

BACKOFF_MAX_S: Final = 60.0
"""Seconds at most between two repetitions of a request."""

PAUSE_S: Final = 60.0
"""Seconds for which a vendor is left alone that said that its limit is reached, and not for how
long."""

REQUEST_TIMEOUT_S: Final = 120.0
"""Seconds for one request: the vendors end those that run for two minutes."""

FOLLOW_TIMEOUT_S: Final = 150.0
"""Seconds for a request that waits for events: the vendor answers after 110 s at the latest."""

STREAM_TIMEOUT_S: Final = 330.0
"""Seconds of silence that end a stream of events: the vendor says something every 270 s."""

EVENTS_ASKED_MAX: Final = 100
"""Events that are asked for at a time on a stream: the vendor's limit."""

SCHEMAS_MAX: Final = 200
"""Schemas of events that are kept: a few of each object, and each is asked for again if need be."""

BREAKER_FAILURES_MAX: Final = 10
"""Failed attempts in a row that open the circuit: the vendor is down, not unlucky."""

BREAKER_OPEN_S: Final = 30.0
"""Seconds for which an open circuit lets nothing through; then one request tries."""

CONCURRENCY_MAX: Final = 4
"""Requests under way with one vendor: long ones must not keep short ones waiting."""

BACKGROUND_SHARE: Final = 0.8
"""The part of a day's calls that loads and resynchronisation may use: the rest is for edits."""

RESEND_AFTER_S: Final = 30.0
"""Seconds after which work that a vendor's failure interrupted is tried anew."""

RESEND_MAX_S: Final = 3_600.0
"""Seconds after which at the latest a row is sent again that a vendor was too busy for."""

POLL_S: Final = 30.0
"""Seconds between two incremental pulls: they repair what events missed."""

SWEEP_S: Final = 86_400.0
"""Seconds between two sweeps, which read all known records again: a day. At HubSpot a sweep of a
million records takes 10,000 calls, of 250,000 a day at least."""

OVERLAP_S: Final = 120.0
"""Seconds that an incremental pull looks back: records of a long transaction become visible later
than their timestamp says."""

REASON_CHARACTERS_MAX: Final = 500
"""Characters of a vendor's message that are kept with a dead letter."""

DEAD_LETTERS_SHOWN_MAX: Final = 1_000
"""Dead letters in one answer."""

TOUCHED_MAX: Final = 100_000
"""Records of which it is remembered when they were sent to last, to tell stale pages."""

WITHDRAWN_S: Final = 3 * 86_400
"""Seconds for which the identifiers of a record that went are kept aside, for its merge may be told
late: HubSpot sends an event again for a day, Salesforce keeps its events for three."""

WITHDRAWN_IDENTIFIERS_MAX: Final = 100
"""Identifiers of one record that are kept aside: a record has a few, one for each mapped field."""

FORGET_S: Final = 3_600.0
"""Seconds between two looks for what need not be kept aside any longer."""

PROGRESS_S: Final = 0.5
"""Seconds between two looks at the progress of a load."""
