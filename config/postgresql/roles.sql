-- Two roles for [store]: waxseal_owner makes and changes the tables (`waxseal store migrate`), waxseal is what nodes
-- log in as, and may read and write rows and nothing else. Run it once as a superuser, in the database for waxseal:
--
--     psql -d waxseal -f roles.sql
--     psql -d waxseal -c '\password waxseal' -c '\password waxseal_owner'

CREATE ROLE waxseal_owner LOGIN;
CREATE ROLE waxseal LOGIN;

CREATE SCHEMA waxseal AUTHORIZATION waxseal_owner;
GRANT USAGE ON SCHEMA waxseal TO waxseal;
ALTER DEFAULT PRIVILEGES FOR ROLE waxseal_owner IN SCHEMA waxseal
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO waxseal;
ALTER DEFAULT PRIVILEGES FOR ROLE waxseal_owner IN SCHEMA waxseal
    GRANT USAGE, SELECT ON SEQUENCES TO waxseal;
