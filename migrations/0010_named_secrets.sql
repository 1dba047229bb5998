-- Secrets that people give: for every environment where `environment` is empty, sealed.
CREATE TABLE named_secrets (
    name TEXT NOT NULL,
    environment TEXT NOT NULL,
    value TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL,
    PRIMARY KEY (name, environment)
);
