-- Proof of the key that secrets are sealed with: whoever opens it has the right one.
CREATE TABLE vault (
    id BIGINT PRIMARY KEY,
    proof TEXT NOT NULL
);
