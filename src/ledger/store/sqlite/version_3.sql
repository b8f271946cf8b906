-- The ledger's file, version 3: what the checks of answers found.

ALTER TABLE entries ADD COLUMN quality ANY;   -- name; NULL: not checked

-- As before, with that.
DROP VIEW ledger_rows;
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
