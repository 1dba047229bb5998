-- To whom a stack's apps are open; without a row, to everyone who is signed in.
CREATE TABLE doors (stack TEXT PRIMARY KEY REFERENCES stacks (id), visibility TEXT NOT NULL);
CREATE TABLE shares (
    stack TEXT NOT NULL REFERENCES stacks (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    level TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (stack, user_id)
);

-- Links for people without an account. Only hashes are stored.
CREATE TABLE guest_links (
    id TEXT PRIMARY KEY,
    stack TEXT NOT NULL REFERENCES stacks (id),
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    created_by TEXT NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX guest_links_by_stack ON guest_links (stack);

-- A browser's way past one app's door: first a code that the portal hands over once, then a cookie of that address.
-- It stands for a session and ends with it.
CREATE TABLE passes (
    hash TEXT PRIMARY KEY,
    label TEXT NOT NULL,
    code INTEGER NOT NULL,
    session TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX passes_by_end ON passes (expires_at);

-- When someone last asked an app of a stack for something.
CREATE TABLE stack_use (stack TEXT PRIMARY KEY REFERENCES stacks (id), last_used_at BIGINT NOT NULL);
