-- How fast the nodes may be, together: connections as leased slots, rates and the day's recipients as shared buckets.

-- One row an account, for its lock alone.
CREATE TABLE waxseal.paced (account text PRIMARY KEY);

-- What a node has of an account's connections, and would have.
CREATE TABLE waxseal.slots (
    account text NOT NULL,
    epoch bigint NOT NULL,
    node text NOT NULL,
    held integer NOT NULL,
    wanted integer NOT NULL,
    -- Since when it has some, or has waited for one.
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (account, epoch)
) WITH (fillfactor = 50);

-- What was taken out of a bucket, and when it counts no longer (milliseconds of the Unix epoch).
CREATE TABLE waxseal.taken (
    account text NOT NULL,
    kind smallint NOT NULL,
    until_ms bigint NOT NULL,
    count integer NOT NULL,
    PRIMARY KEY (account, kind, until_ms)
) WITH (fillfactor = 50);

-- How many connections this node may have, of `most` in all, where `open` are open and `want` would be used. Nodes that
-- want more than there is have equal parts; where there are more nodes than connections, they have them in turns.
CREATE FUNCTION waxseal.ask_slots(
    an_account text, my_epoch bigint, my_node text,
    most integer, open integer, want integer, lease double precision
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    at timestamptz;
    mine waxseal.slots;
    mine_held integer;
    others integer;
    askers integer;
    fair integer;
    reserved integer;
    ahead integer;
    granted integer;
BEGIN
    INSERT INTO waxseal.paced VALUES (an_account) ON CONFLICT DO NOTHING;
    PERFORM FROM waxseal.paced WHERE account = an_account FOR UPDATE;
    at := clock_timestamp();
    DELETE FROM waxseal.slots WHERE account = an_account AND until < at;
    SELECT * INTO mine FROM waxseal.slots WHERE account = an_account AND epoch = my_epoch;
    mine_held := coalesce(mine.held, 0);
    SELECT coalesce(sum(held), 0), count(*) FILTER (WHERE wanted > 0) INTO others, askers
        FROM waxseal.slots WHERE account = an_account AND epoch <> my_epoch;
    askers := askers + CASE WHEN want > 0 THEN 1 ELSE 0 END;
    fair := greatest(1, most / greatest(1, askers));
    SELECT coalesce(sum(greatest(held, least(wanted, fair))), 0),
           count(*) FILTER (WHERE held = 0 AND wanted > 0
               AND (mine_held > 0 OR mine.since IS NULL OR since < mine.since))
        INTO reserved, ahead
        FROM waxseal.slots WHERE account = an_account AND epoch <> my_epoch;
    granted := least(want, greatest(fair, most - reserved));
    IF askers > most AND ahead > 0 AND mine_held > 0 AND mine.since < at - interval '5 seconds' THEN
        granted := 0;
    END IF;
    granted := greatest(0, least(granted, most - others - CASE WHEN mine_held = 0 THEN ahead ELSE 0 END));
    -- A node that does not know yet what is still its own sends nothing.
    IF NOT EXISTS (SELECT FROM waxseal.node WHERE name = my_node AND epoch = my_epoch AND ready) THEN
        granted := 0;
    END IF;
    IF granted = 0 AND want = 0 AND open = 0 THEN
        DELETE FROM waxseal.slots WHERE account = an_account AND epoch = my_epoch;
        RETURN 0;
    END IF;
    -- What is open stays this node's until it is closed.
    INSERT INTO waxseal.slots AS s VALUES
        (an_account, my_epoch, my_node, greatest(granted, open), want, at, at + make_interval(secs => lease))
    ON CONFLICT (account, epoch) DO UPDATE SET
        held = excluded.held, wanted = excluded.wanted, until = excluded.until,
        since = CASE WHEN (s.held > 0) = (excluded.held > 0) THEN s.since ELSE excluded.since END;
    RETURN granted;
END $$;

-- Takes up to `want` out of a bucket that has `most` in any time of `lasts` seconds: how many, and the key to give them
-- back with.
CREATE FUNCTION waxseal.take(
    an_account text, a_kind smallint, want integer, most integer, lasts double precision
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    at_ms bigint;
    grain double precision := lasts * 1000 / 64;
    ends bigint;
    used bigint;
    granted integer;
BEGIN
    INSERT INTO waxseal.paced VALUES (an_account) ON CONFLICT DO NOTHING;
    PERFORM FROM waxseal.paced WHERE account = an_account FOR UPDATE;
    at_ms := floor(extract(epoch FROM clock_timestamp()) * 1000);
    DELETE FROM waxseal.taken WHERE account = an_account AND kind = a_kind AND until_ms < at_ms;
    SELECT coalesce(sum(count), 0) INTO used FROM waxseal.taken WHERE account = an_account AND kind = a_kind;
    granted := greatest(0, least(want, most - used));
    -- Rounded up, so that a bucket has few rows, whoever takes how often.
    ends := ceil(ceil((at_ms + lasts * 1000) / grain) * grain);
    IF granted > 0 THEN
        INSERT INTO waxseal.taken AS t VALUES (an_account, a_kind, ends, granted)
        ON CONFLICT (account, kind, until_ms) DO UPDATE SET count = t.count + excluded.count;
    END IF;
    RETURN ARRAY[granted, ends];
END $$;

UPDATE waxseal.schema SET version = 2, readable_from = 2;
