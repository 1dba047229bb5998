-- When a stack was last put to sleep; absent while it is awake.
ALTER TABLE stacks ADD COLUMN stopped_at BIGINT;
