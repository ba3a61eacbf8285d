-- What the nodes share: who they are, the tokens of every OAuth account and consents under way, sealed under a key that
-- is not here.

CREATE TABLE waxseal.schema (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    -- The last migration that ran.
    version integer NOT NULL,
    -- Programs that know no later migration than this one still understand everything.
    readable_from integer NOT NULL,
    -- Names the key that tokens are sealed under, and says nothing about it.
    key_name bytea
);
INSERT INTO waxseal.schema (version, readable_from) VALUES (1, 1);

CREATE TABLE waxseal.node (
    name text PRIMARY KEY,
    -- Another at each start, so that two processes of one name are told apart.
    epoch bigint NOT NULL,
    program text NOT NULL,
    started timestamptz NOT NULL DEFAULT now(),
    seen timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Versions are never used twice, not even after tokens were forgotten.
CREATE SEQUENCE waxseal.token_version;

CREATE TABLE waxseal.token (
    account text PRIMARY KEY,
    -- NULL: none, or forgotten.
    sealed bytea,
    version bigint NOT NULL DEFAULT 0,
    -- Whoever asks the authorization server for new ones, until when. One lease, one number.
    holder bigint,
    holder_node text,
    held_until timestamptz
) WITH (fillfactor = 50);

-- Consents that were begun and can be finished, at whatever node. Whoever knows a state may finish, so that only its
-- SHA-256 is here; what is needed beside it is sealed.
CREATE TABLE waxseal.consent (
    state bytea PRIMARY KEY,
    sealed bytea NOT NULL,
    -- NULL: any browser may finish it; else the SHA-256 of the cookie of the one that may.
    browser bytea,
    begun timestamptz NOT NULL,
    ends timestamptz NOT NULL
);
