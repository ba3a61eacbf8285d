-- What one node asks of the others: what they have in their queues, and what they are to do to it. An answer is worth
-- nothing to anybody but who asked, and not for long.

CREATE UNLOGGED TABLE waxseal.question (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Runs of nodes, by their epochs.
    asker bigint NOT NULL,
    asked bigint NOT NULL,
    question text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Somebody is at it.
    taken boolean NOT NULL DEFAULT false,
    answer text
);
CREATE INDEX question_asked ON waxseal.question (asked) WHERE NOT taken;

UPDATE waxseal.schema SET version = 4;
