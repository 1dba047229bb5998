-- What a machine that starts with a token is told through NoCloud: as which node, from which address, and in which form.
CREATE TABLE boots (
    token TEXT PRIMARY KEY REFERENCES agent_tokens (id),
    node TEXT NOT NULL,
    server TEXT NOT NULL,
    user_data TEXT NOT NULL
);
