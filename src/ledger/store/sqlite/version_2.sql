-- The ledger's file, version 2: how targets did lately.

-- One row a target. What is older than the minutes that are kept goes with the next write.
CREATE TABLE target_pasts (
    target TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    since INTEGER NOT NULL,           -- when its newest minute began, in milliseconds since 1970
    minutes TEXT NOT NULL             -- JSON, the newest first: [[ok, failed, limited, sum of the ok ones' ms], ...]
) STRICT, WITHOUT ROWID;
