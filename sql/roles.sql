-- roles.sql - the role that weir watches a server with: pg_monitor, and nothing else.
--
--   psql -X -d postgres -f roles.sql                  the role is called weir
--   psql -X -d postgres -v role=watcher -f roles.sql  or otherwise
--
-- Run it on the primary, as a superuser or as a role that may create roles and grant pg_monitor; standbys follow.  It may be run
-- again: then it puts everything below back as it stands here.  It sets no password: \password weir, or whatever pg_hba.conf wants.

\set ON_ERROR_STOP on
\if :{?role}
\else
    \set role weir
\endif

BEGIN;
SET LOCAL client_min_messages = warning;

SELECT pg_catalog.count(*) FILTER (WHERE rolsuper) > 0 AS is_super, pg_catalog.count(*) = 0 AS is_new
    FROM pg_catalog.pg_roles WHERE rolname = :'role' \gset
\if :is_super
    \warn 'roles.sql: role' :role 'is there and is a superuser; choose another name with -v role=NAME, or drop it first'
    DO $$ BEGIN RAISE EXCEPTION 'the role is a superuser'; END $$;
\endif
\if :is_new
    CREATE ROLE :"role";
\endif

-- Five sessions: pg_stats takes one or two, those of a reload stand beside them for a moment, and one is left for psql.  Should
-- weir ever misbehave, it cannot take the application's connections.
ALTER ROLE :"role" LOGIN INHERIT NOCREATEDB NOCREATEROLE CONNECTION LIMIT 5;

-- pg_monitor is the sum of three roles, and none of them reads a row of a table or changes anything:
--   pg_read_all_stats      sessions and statements of other users (pg_stat_activity, pg_stat_statements), replication, sizes
--   pg_read_all_settings   settings that are for superusers to see (pg_settings)
--   pg_stat_scan_tables    functions that read a whole relation for a figure (pg_buffercache, pgstattuple)
GRANT pg_monitor TO :"role";

-- weir sets these itself in each session.  Here they hold for whoever else logs in as this role.
ALTER ROLE :"role" SET search_path = '';                            -- no object of a user is found in place of the server's
ALTER ROLE :"role" SET default_transaction_read_only = on;
ALTER ROLE :"role" SET statement_timeout = '30s';
ALTER ROLE :"role" SET lock_timeout = '1s';                         -- nobody queues behind one who waits
ALTER ROLE :"role" SET idle_in_transaction_session_timeout = '60s'; -- vacuum is not held back
ALTER ROLE :"role" SET jit = off;                                   -- compiling costs more than these statements do
ALTER ROLE :"role" SET max_parallel_workers_per_gather = 0;         -- one process per session

COMMIT;

-- What else may be needed, database by database; none of it is granted here:
--   GRANT CONNECT ON DATABASE orders TO weir;                     where it was taken from PUBLIC
--   GRANT USAGE ON SCHEMA ext TO weir;                            where an extension lives, if it is not open to PUBLIC
--   GRANT SELECT ON ALL SEQUENCES IN SCHEMA orders TO weir;       group sequences: how far they are; pg_monitor does not show it
--   GRANT pg_read_all_data TO weir;                               14 and later: that for all of them, and the bloat of all tables;
--                                                                 but then it can read every row

-- What the role has beyond this, should it have been there before.
SELECT pg_catalog.count(*) > 0 AS has_more, pg_catalog.string_agg(r.rolname, ', ' ORDER BY r.rolname) AS more
    FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
    WHERE m.member = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = :'role') AND r.rolname <> 'pg_monitor' \gset
\if :has_more
    \warn 'roles.sql: role' :role 'is also a member of' :more
\endif
