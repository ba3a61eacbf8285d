-- A copy of every node's queue, which the others take over where the node is gone. A message belongs to one node at a
-- time, by the epoch of its run.

ALTER TABLE waxseal.node
    -- Tells a process that was started anew beside the same state directory from another one of the same name.
    ADD COLUMN identity bigint NOT NULL DEFAULT 0,
    -- What a node has is its own until then, by this database's clock.
    ADD COLUMN until timestamptz NOT NULL DEFAULT now(),
    -- What its ids end in, which no other node's do.
    ADD COLUMN number integer UNIQUE,
    -- Since when it has been heard of without a gap.
    ADD COLUMN since timestamptz NOT NULL DEFAULT now(),
    -- It has found out which messages are still its own, and may send.
    ADD COLUMN ready boolean NOT NULL DEFAULT false,
    -- It said nothing for too long: what it has is for the others.
    ADD COLUMN is_out boolean NOT NULL DEFAULT false;

-- Runs that have ended or are out, and may have left messages.
CREATE TABLE waxseal.gone (epoch bigint PRIMARY KEY, identity bigint NOT NULL);

-- The upper 44 bits of an id are the milliseconds of its receipt, so that a day is a range of ids. Mail does not compress
-- twice.
CREATE TABLE waxseal.message (
    id bigint PRIMARY KEY,
    owner bigint NOT NULL,
    -- The record of its receipt, as the journal has it, with its content unless that is in chunks.
    receipt bytea NOT NULL,
    -- The record of where it stands.
    status bytea,
    chunks integer NOT NULL DEFAULT 0,
    -- Tells it from another message, should that ever have the same id: the CRC-32 of its receipt.
    mark integer NOT NULL,
    -- It was another node's once, which has to learn of its end when it comes back.
    adopted boolean NOT NULL DEFAULT false,
    left_at timestamptz
) PARTITION BY RANGE (id);
ALTER TABLE waxseal.message ALTER receipt SET STORAGE EXTERNAL, ALTER status SET STORAGE EXTERNAL;
CREATE INDEX message_owner ON waxseal.message (owner, id) WHERE left_at IS NULL;
CREATE TABLE waxseal.message_rest PARTITION OF waxseal.message DEFAULT;

CREATE TABLE waxseal.chunk (
    id bigint NOT NULL,
    number integer NOT NULL,
    octets bytea NOT NULL,
    PRIMARY KEY (id, number)
) PARTITION BY RANGE (id);
ALTER TABLE waxseal.chunk ALTER octets SET STORAGE EXTERNAL;
CREATE TABLE waxseal.chunk_rest PARTITION OF waxseal.chunk DEFAULT;

-- Makes the partitions of the next days, and drops empty ones of days long past. Nodes call it now and then; it runs with
-- its owner's rights, since they may make no tables.
CREATE FUNCTION waxseal.keep_days() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    day date;
    parent text;
    part text;
    from_id bigint;
    to_id bigint;
    is_empty boolean;
BEGIN
    IF NOT pg_try_advisory_xact_lock(7303014, 1) THEN RETURN; END IF;
    SET LOCAL lock_timeout = '2s';
    DELETE FROM waxseal.message WHERE left_at < clock_timestamp() - interval '10 days';
    FOR day IN SELECT generate_series(current_date - 1, current_date + 3, interval '1 day')::date LOOP
        from_id := (extract(epoch FROM day::timestamp)::bigint * 1000) << 20;
        to_id := (extract(epoch FROM (day + 1)::timestamp)::bigint * 1000) << 20;
        FOREACH parent IN ARRAY ARRAY['message', 'chunk'] LOOP
            part := parent || to_char(day, '_YYYYMMDD');
            CONTINUE WHEN to_regclass('waxseal.' || part) IS NOT NULL;
            BEGIN
                EXECUTE format('CREATE TABLE waxseal.%I PARTITION OF waxseal.%I FOR VALUES FROM (%s) TO (%s)',
                    part, parent, from_id, to_id);
            EXCEPTION WHEN check_violation OR lock_not_available THEN
                -- Something of that day is in the rest already, or the table is busy: it stays there.
                NULL;
            END;
        END LOOP;
    END LOOP;
    FOR part IN SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'waxseal' AND c.relname ~ '^(message|chunk)_[0-9]{8}$'
            AND right(c.relname, 8) < to_char(current_date - 1, 'YYYYMMDD') LOOP
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM waxseal.%I)', part) INTO is_empty;
        CONTINUE WHEN NOT is_empty;
        BEGIN
            -- A node that comes back after days may have something of that day.
            EXECUTE format('LOCK TABLE waxseal.%I IN ACCESS EXCLUSIVE MODE', part);
            EXECUTE format('SELECT NOT EXISTS (SELECT FROM waxseal.%I)', part) INTO is_empty;
            IF is_empty THEN
                EXECUTE format('DROP TABLE waxseal.%I', part);
            END IF;
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
    END LOOP;
END $$;
SELECT waxseal.keep_days();

-- A node's sign of life. 'ready': it goes on. 'joining': it has just come, or come back, and has to find out what is
-- still its own. 'taken': another process has this name.
CREATE FUNCTION waxseal.beat(
    a_name text, my_epoch bigint, my_identity bigint, a_program text, lease double precision
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    at timestamptz := clock_timestamp();
    ends timestamptz := at + make_interval(secs => lease);
    found_node waxseal.node;
BEGIN
    SELECT * INTO found_node FROM waxseal.node WHERE name = a_name FOR UPDATE;
    IF found_node.epoch = my_epoch AND NOT found_node.is_out THEN
        -- Late and not out: the database was away, for the others as well.
        UPDATE waxseal.node SET seen = at, until = ends, since = CASE WHEN until < at THEN at ELSE since END
            WHERE name = a_name;
        IF found_node.until >= at AND found_node.since < at - interval '10 seconds' THEN
            WITH late AS (
                SELECT name FROM waxseal.node WHERE until < at AND NOT is_out ORDER BY name FOR UPDATE SKIP LOCKED
            ), marked AS (
                UPDATE waxseal.node n SET is_out = true, ready = false FROM late WHERE n.name = late.name
                RETURNING epoch, identity
            )
            INSERT INTO waxseal.gone SELECT epoch, identity FROM marked ON CONFLICT DO NOTHING;
            DELETE FROM waxseal.node WHERE is_out AND seen < at - interval '7 days';
        END IF;
        RETURN CASE WHEN found_node.ready THEN 'ready' ELSE 'joining' END;
    END IF;
    IF found_node.epoch <> my_epoch AND found_node.identity <> my_identity AND NOT found_node.is_out THEN
        IF found_node.until >= at THEN
            RETURN 'taken';
        END IF;
        -- Whoever had this name is gone.
        INSERT INTO waxseal.gone VALUES (found_node.epoch, found_node.identity) ON CONFLICT DO NOTHING;
    END IF;
    -- The process before this one is no more, and what it had is this one's.
    IF found_node.epoch <> my_epoch AND found_node.identity = my_identity THEN
        DELETE FROM waxseal.gone WHERE epoch = found_node.epoch;
        DELETE FROM waxseal.slots WHERE epoch = found_node.epoch;
        UPDATE waxseal.message SET owner = my_epoch WHERE owner = found_node.epoch AND left_at IS NULL;
    END IF;
    DELETE FROM waxseal.gone WHERE epoch = my_epoch;
    -- Two that come at once are not to have one number.
    PERFORM pg_advisory_xact_lock(7303014, 2);
    INSERT INTO waxseal.node AS n (name, epoch, identity, program, started, seen, until, since, number)
        VALUES (a_name, my_epoch, my_identity, a_program, at, at, ends, at, (
            SELECT min(free) FROM generate_series(0, 1023) AS free
            WHERE NOT EXISTS (SELECT FROM waxseal.node o WHERE o.number = free)
        ))
    ON CONFLICT (name) DO UPDATE SET
        started = CASE WHEN n.epoch = excluded.epoch THEN n.started ELSE excluded.started END,
        epoch = excluded.epoch, identity = excluded.identity, program = excluded.program, seen = excluded.seen,
        until = excluded.until, since = excluded.since, ready = false, is_out = false;
    RETURN 'joining';
END $$;

-- What this run's ids end in. A function of its own, so that it sees what the sign of life before it has done.
CREATE FUNCTION waxseal.number_of(a_name text, my_epoch bigint) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT number FROM waxseal.node WHERE name = a_name AND epoch = my_epoch);
END $$;

-- Which of these messages, which this node has, are its own (1), another's or gone (2), or nobody's yet (0).
CREATE FUNCTION waxseal.whose(my_epoch bigint, my_identity bigint, ids bigint[])
RETURNS TABLE (message_id bigint, whose integer, the_mark integer) LANGUAGE plpgsql AS $$
BEGIN
    -- Against others who take over the same run's messages just now.
    PERFORM FROM waxseal.gone ORDER BY epoch FOR UPDATE;
    UPDATE waxseal.message SET owner = my_epoch
        WHERE id = ANY (ids) AND left_at IS NULL
            AND owner IN (SELECT epoch FROM waxseal.gone WHERE identity = my_identity);
    RETURN QUERY SELECT i.id,
            CASE WHEN m.id IS NULL THEN 0 WHEN m.owner = my_epoch AND m.left_at IS NULL THEN 1 ELSE 2 END,
            coalesce(m.mark, 0)
        FROM unnest(ids) AS i (id) LEFT JOIN waxseal.message m ON m.id = i.id;
END $$;

-- Takes over some messages of nodes that are gone.
CREATE FUNCTION waxseal.take_over(my_epoch bigint, most integer) RETURNS TABLE (message_id bigint)
LANGUAGE plpgsql AS $$
DECLARE
    run bigint;
    left_over integer := most;
    count_of_run integer;
BEGIN
    FOR run IN SELECT epoch FROM waxseal.gone ORDER BY epoch FOR UPDATE SKIP LOCKED LOOP
        RETURN QUERY UPDATE waxseal.message SET owner = my_epoch, adopted = true WHERE id IN (
            SELECT id FROM waxseal.message WHERE owner = run AND left_at IS NULL
            ORDER BY id LIMIT left_over FOR UPDATE SKIP LOCKED
        ) RETURNING id;
        GET DIAGNOSTICS count_of_run = ROW_COUNT;
        left_over := left_over - count_of_run;
        EXIT WHEN left_over <= 0;
        -- A message that is locked just now is left for the next time.
        DELETE FROM waxseal.gone WHERE epoch = run
            AND NOT EXISTS (SELECT FROM waxseal.message WHERE owner = run AND left_at IS NULL);
    END LOOP;
END $$;

UPDATE waxseal.schema SET version = 3, readable_from = 3;
