-- The ledger's file, version 4: rows in the order in which they are written, so that writing one looks for no place.

DROP VIEW ledger_rows;
ALTER TABLE entries RENAME TO entries_by_time;

-- As before, but for the order. No column has a type: what is written is of the right one, and is not looked at again.
CREATE TABLE entries (
    at INTEGER PRIMARY KEY, -- its place
    time,             -- when it was admitted
    id,               -- the 16 bytes of a UUIDv7
    request,          -- 16 bytes: `req_` and their hexadecimal digits; text: itself
    attempt,          -- from 1; 0: the request came to none
    key,              -- name; NULL: none
    tags,             -- id of tag_sets, or the JSON itself; NULL: none
    route,            -- name; NULL: none
    tier,             -- name
    task,             -- name
    complexity,
    requested_model,  -- name; NULL: none
    stream,           -- 0, 1
    cache,            -- name; NULL: none
    model,            -- name
    provider,         -- name
    position,
    kind,             -- 0 actual, 1 estimated, 2 adjustment
    outcome,          -- name
    input,            -- tokens by kind, none in two of them
    cached_input,
    cache_write,
    cache_write_1h,
    audio_input,
    output,
    reasoning,
    audio_output,
    cost,
    priced,           -- 0, 1
    baseline,
    first_choice,
    first_byte_ms,
    duration_ms,
    overhead_us,
    budget,           -- name; of an adjustment, as are the two below
    period,           -- daily, monthly, total
    window_start,     -- when that window of the budget began, in seconds
    quality           -- name; NULL: not checked
);
INSERT INTO entries (time, id, request, attempt, key, tags, route, tier, task, complexity, requested_model, stream, cache,
    model, provider, position, kind, outcome, input, cached_input, cache_write, cache_write_1h, audio_input,
    output, reasoning, audio_output, cost, priced, baseline, first_choice, first_byte_ms, duration_ms,
    overhead_us, budget, period, window_start, quality)
SELECT
    time, id, request, attempt, key, tags, route, tier, task, complexity, requested_model, stream, cache,
    model, provider, position, kind, outcome, input, cached_input, cache_write, cache_write_1h, audio_input,
    output, reasoning, audio_output, cost, priced, baseline, first_choice, first_byte_ms, duration_ms,
    overhead_us, budget, period, window_start, quality
FROM entries_by_time ORDER BY time, id;
DROP TABLE entries_by_time;

-- The times of rows that stand side by side: who wants those of some time looks into few of them. No row of a span is
-- outside of its times; some of its rows may have been deleted. The newest few hundred rows are in none yet.
CREATE TABLE spans (
    last INTEGER PRIMARY KEY, -- places
    first INTEGER NOT NULL,
    oldest INTEGER NOT NULL,  -- times
    newest INTEGER NOT NULL
) STRICT;
-- Here they stand in the order of their times, without a gap.
INSERT INTO spans SELECT ends.at, begins.at, begins.time, ends.time
    FROM entries AS ends CROSS JOIN entries AS begins ON begins.at = ends.at - 511 WHERE ends.at % 512 = 0;

-- All rows by their places: the spans, and what is in none.
CREATE VIEW parts AS
    SELECT first, last, oldest, newest FROM spans
    UNION ALL
    SELECT coalesce(max(last), 0) + 1, 9223372036854775807, -9223372036854775808, 9223372036854775807 FROM spans;

-- As before.
CREATE VIEW ledger_rows AS SELECT
    time, id, request, attempt,
    CASE typeof(key) WHEN 'integer' THEN (SELECT text FROM names WHERE names.id = key) ELSE key END AS key,
    CASE typeof(tags) WHEN 'integer' THEN (SELECT json FROM tag_sets WHERE tag_sets.id = tags) ELSE tags END AS tags,
    CASE typeof(route) WHEN 'integer' THEN (SELECT text FROM names WHERE names.id = route) ELSE route END AS route,
    CASE typeof(tier) WHEN 'integer' THEN (SELECT text FROM names WHERE names.id = tier) ELSE tier END AS tier,
    CASE typeof(task) WHEN 'integer' THEN (SELECT text FROM names WHERE names.id = task) ELSE task END AS task,
    complexity,
    CASE typeof(requested_model) WHEN 'integer' THEN (SELECT text FROM names WHERE names.id = requested_model)
        ELSE requested_model END AS requested_model,
    stream,
    CASE typeof(cache) WHEN 'integer' THEN (SELECT text FROM names WHERE names.id = cache) ELSE cache END AS cache,
    CASE typeof(model) WHEN 'integer' THEN (SELECT text FROM names WHERE names.id = model) ELSE model END AS model,
    CASE typeof(provider) WHEN 'integer' THEN (SELECT text FROM names WHERE names.id = provider)
        ELSE provider END AS provider,
    position,
    CASE kind WHEN 0 THEN 'actual' WHEN 1 THEN 'estimated' ELSE 'adjustment' END AS kind,
    CASE typeof(outcome) WHEN 'integer' THEN (SELECT text FROM names WHERE names.id = outcome)
        ELSE outcome END AS outcome,
    input, cached_input, cache_write, cache_write_1h, audio_input, output, reasoning, audio_output,
    cost, priced, baseline, first_choice, first_byte_ms, duration_ms, overhead_us,
    CASE typeof(budget) WHEN 'integer' THEN (SELECT text FROM names WHERE names.id = budget) ELSE budget END AS budget,
    period, window_start,
    CASE typeof(quality) WHEN 'integer' THEN (SELECT text FROM names WHERE names.id = quality)
        ELSE quality END AS quality
FROM entries;
