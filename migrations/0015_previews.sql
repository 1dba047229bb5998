-- Branches with a pull request, as forges told of them last, and the stack that shows each.
CREATE TABLE previews (
    id TEXT PRIMARY KEY,
    forge TEXT NOT NULL,
    site TEXT NOT NULL,
    project TEXT NOT NULL,
    branch TEXT NOT NULL,
    repository TEXT NOT NULL,
    number BIGINT,
    wanted TEXT NOT NULL,
    state TEXT NOT NULL,
    stack TEXT,
    built TEXT,
    fault TEXT,
    comment_id TEXT,
    posted TEXT,
    post_at BIGINT NOT NULL DEFAULT 0,
    updated_at BIGINT NOT NULL,
    tended_until BIGINT NOT NULL DEFAULT 0,
    UNIQUE (site, project, branch)
);
