-- Whether a person assigned what an agent should make true, rather than its node's roles and apps.
ALTER TABLE agents ADD COLUMN by_hand BIGINT NOT NULL DEFAULT 0;
