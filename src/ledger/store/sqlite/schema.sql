-- The ledger's file, version 1. Later versions are files of their own and only add.
--
-- Money is in nanodollars, `time`, `created`, `revoked` and `touched` are milliseconds since 1970, `start` seconds.

-- Texts that repeat. A column that says "name" holds an id of this table, or, once the table is full, the text itself:
-- what clients may invent (models, tasks) cannot make it grow without end. `typeof(column)` tells which.
CREATE TABLE names (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

-- Sets of tags that repeat, as JSON objects of texts with sorted keys.
CREATE TABLE tag_sets (
    id INTEGER PRIMARY KEY,
    json TEXT NOT NULL UNIQUE
) STRICT;

-- One row an attempt, or a request that came to none. In the order of time, which is how they are read and pruned.
CREATE TABLE entries (
    time INTEGER NOT NULL,            -- when it was admitted
    id BLOB NOT NULL,                 -- the 16 bytes of a UUIDv7
    request ANY NOT NULL,             -- 16 bytes: `req_` and their hexadecimal digits; text: itself
    attempt INTEGER NOT NULL,         -- from 1; 0: the request came to none
    key ANY,                          -- name; NULL: none
    tags ANY,                         -- id of tag_sets, or the JSON itself; NULL: none
    route ANY,                        -- name; NULL: none
    tier ANY,                         -- name
    task ANY,                         -- name
    complexity INTEGER,
    requested_model ANY,              -- name; NULL: none
    stream INTEGER NOT NULL,          -- 0, 1
    cache ANY,                        -- name; NULL: none
    model ANY,                        -- name
    provider ANY,                     -- name
    position INTEGER NOT NULL,
    kind INTEGER NOT NULL,            -- 0 actual, 1 estimated, 2 adjustment
    outcome ANY NOT NULL,             -- name
    input INTEGER NOT NULL,           -- tokens by kind, none in two of them
    cached_input INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    audio_input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    audio_output INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    priced INTEGER NOT NULL,          -- 0, 1
    baseline INTEGER,
    first_choice INTEGER,
    first_byte_ms INTEGER,
    duration_ms INTEGER NOT NULL,
    overhead_us INTEGER NOT NULL,
    budget ANY,                       -- name; of an adjustment, as are the two below
    period TEXT,                      -- daily, monthly, total
    window_start INTEGER,             -- when that window of the budget began, in seconds
    PRIMARY KEY (time, id)
) STRICT, WITHOUT ROWID;

-- The windows of every budget. `posted` never passes `watermark`.
CREATE TABLE accounts (
    budget TEXT NOT NULL,
    holder TEXT NOT NULL,             -- the key's name where each key has a share of its own; else ''
    period TEXT NOT NULL,             -- daily, monthly, total
    start INTEGER NOT NULL,           -- seconds; 0 for total
    posted INTEGER NOT NULL,
    watermark INTEGER NOT NULL,
    touched INTEGER NOT NULL,         -- a moment inside the window: of its last raise or charge
    PRIMARY KEY (budget, holder, period, start)
) STRICT, WITHOUT ROWID;

-- Keys made at run time. No secret is kept.
CREATE TABLE keys (
    name TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,        -- sha256:HEX
    settings TEXT NOT NULL,           -- JSON
    created INTEGER NOT NULL,
    revoked INTEGER
) STRICT, WITHOUT ROWID;

-- Small things by name.
CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Changes whenever a key does, whoever writes it.
INSERT INTO facts VALUES ('keys_version', 0);
CREATE TRIGGER key_made AFTER INSERT ON keys BEGIN
    UPDATE facts SET number = number + 1 WHERE name = 'keys_version';
END;
CREATE TRIGGER key_changed AFTER UPDATE ON keys BEGIN
    UPDATE facts SET number = number + 1 WHERE name = 'keys_version';
END;
CREATE TRIGGER key_gone AFTER DELETE ON keys BEGIN
    UPDATE facts SET number = number + 1 WHERE name = 'keys_version';
END;

-- Answers kept to be given again, oldest first by id. `bytes` stands before the body, so that sums read no bodies.
CREATE TABLE answers (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,                -- the virtual key
    idempotency_key TEXT NOT NULL,
    request BLOB NOT NULL,            -- SHA-256 of the request's body
    status INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    stream INTEGER NOT NULL,          -- 0, 1
    created INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (key, idempotency_key)
) STRICT;

-- The rows with their names, for people and for pages of rows.
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
    period, window_start
FROM entries;
