#!/bin/bash
# A database full of objects that would be taken for the server's own by who does not name schemas: none is ever executed or read.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/servers.sh"

start_postgresql "$pg_bin" autovacuum=off "shared_preload_libraries = 'pg_stat_statements'" || exit 1
sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE DATABASE shop"
# Whoever may make databases and schemas could have done this; weir may write nothing, so a trap that is sprung says so in the log.
sql -d shop >/dev/null <<'SQL'
CREATE EXTENSION pg_stat_statements;
CREATE SCHEMA hostile;
GRANT ALL ON SCHEMA public, hostile TO PUBLIC;
CREATE TABLE public.plain (id int PRIMARY KEY, v text);
-- Every function of pg_catalog that anybody could call by its bare name, with the same arguments and result, and every operator.
CREATE FUNCTION public.sprung(what text) RETURNS bool LANGUAGE plpgsql AS $$BEGIN RAISE LOG 'SPRUNG %', what; RAISE EXCEPTION 'SPRUNG %', what; END$$;
DO $$
DECLARE
    f record;
    made int := 0;
BEGIN
    FOR f IN SELECT p.oid, p.proname, pg_get_function_identity_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result
        FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.proname !~ '^_'
        AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype, 'cstring'::regtype)
        AND NOT p.proargtypes::oid[] && ARRAY['internal'::regtype, 'cstring'::regtype]::oid[] AND p.proallargtypes IS NULL
        AND (p.proname ~ '^pg_|age|now|count|sum|max|min|coalesce|date_part|extract|lower|upper|translate|regexp|split_part|substr|left|format|quote|current_|has_|array|unnest|generate|json|to_|round|length|position|replace|trim|concat|nullif|greatest|version|obj_|col_|txid|inet|timestamp|clock|statement|transaction|set_config|md5|hash|mxid|xid|row_to|string_agg|int4|int8|float8|text|bool|oid|name|regclass')
    LOOP
        BEGIN
            EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', f.proname, f.arguments, f.result,
                format('BEGIN PERFORM public.sprung(%L); RETURN; END', f.proname));
            made := made + 1;
        EXCEPTION WHEN OTHERS THEN
            BEGIN
                EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', f.proname, f.arguments, f.result,
                    format('BEGIN PERFORM public.sprung(%L); RETURN NULL; END', f.proname));
                made := made + 1;
            EXCEPTION WHEN OTHERS THEN NULL;
            END;
        END;
    END LOOP;
    RAISE LOG 'MADE % functions', made;
    made := 0;
    FOR f IN SELECT DISTINCT oprname, l.typname AS l, r.typname AS r FROM pg_operator o JOIN pg_type l ON l.oid = o.oprleft
        JOIN pg_type r ON r.oid = o.oprright WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprresult = 'bool'::regtype
        AND l.typname IN ('text', 'name', 'oid', 'int4', 'int8', 'float8', 'char', 'bool', 'timestamptz', 'xid', 'pg_lsn', 'anyarray', 'inet', 'interval', 'regtype', 'numeric')
    LOOP
        BEGIN
            EXECUTE format('CREATE FUNCTION hostile.%I(%s, %s) RETURNS bool LANGUAGE plpgsql AS %L', 'op_' || made,
                quote_ident(f.l), quote_ident(f.r), format('BEGIN PERFORM public.sprung(%L); RETURN true; END', 'operator ' || f.oprname));
            EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %I, RIGHTARG = %I, FUNCTION = hostile.%I)', f.oprname, f.l, f.r, 'op_' || made);
            made := made + 1;
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
    RAISE LOG 'MADE % operators', made;
    -- Each view and table of the catalog, as a view that springs.
    made := 0;
    FOR f IN SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v') LOOP
        BEGIN
            EXECUTE format('CREATE VIEW public.%I AS SELECT t.*, public.sprung(%L) AS trap FROM pg_catalog.%I t', f.relname, f.relname, f.relname);
            EXECUTE format('GRANT SELECT ON public.%I TO PUBLIC', f.relname);
            made := made + 1;
        EXCEPTION WHEN OTHERS THEN NULL; -- columns of a pseudo-type
        END;
    END LOOP;
    RAISE LOG 'MADE % views', made;
END $$;
-- Casts and types of the same names; functions that are better matches for unknown literals.
CREATE DOMAIN public.int8 AS pg_catalog.int8 CHECK (public.sprung('domain int8') IS NULL);
CREATE DOMAIN public.text AS pg_catalog.text CHECK (public.sprung('domain text') IS NULL);
CREATE DOMAIN public.float8 AS pg_catalog.float8 CHECK (public.sprung('domain float8') IS NULL);
-- What is evaluated by who looks at a table: expressions of indexes, defaults, policies, rules; statistics of them.
CREATE FUNCTION public.index_trap(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$BEGIN IF current_user = 'weir' THEN PERFORM public.sprung('index'); END IF; RETURN $1; END$$;
CREATE INDEX trapped ON public.plain (public.index_trap(id)) WHERE public.index_trap(id) > 0;
CREATE STATISTICS public.trapped_stats ON (public.index_trap(id)), v FROM public.plain;
INSERT INTO public.plain SELECT g, 'x' FROM pg_catalog.generate_series(1, 100) g;
ANALYZE public.plain;
ALTER TABLE public.plain ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY trap ON public.plain USING (public.index_trap(id) > 0);
CREATE TABLE public.checked (id int CHECK (public.index_trap(id) > 0), w int GENERATED ALWAYS AS (public.index_trap(id)) STORED);
CREATE MATERIALIZED VIEW public.materialized AS SELECT public.index_trap(1) AS one;
-- And the role's own settings are against it.
ALTER ROLE weir SET search_path = public, hostile, pg_catalog;
ALTER ROLE weir IN DATABASE shop SET search_path = public, hostile, pg_catalog;
ALTER DATABASE shop SET search_path = public, hostile, pg_catalog;
ALTER ROLE weir IN DATABASE shop SET DateStyle = 'German, DMY';
ALTER ROLE weir IN DATABASE shop SET TimeZone = 'Pacific/Chatham';
ALTER ROLE weir IN DATABASE shop SET IntervalStyle = 'sql_standard';
ALTER ROLE weir IN DATABASE shop SET extra_float_digits = -15;
ALTER ROLE weir IN DATABASE shop SET standard_conforming_strings = off;
ALTER ROLE weir IN DATABASE shop SET quote_all_identifiers = on;
ALTER ROLE weir IN DATABASE shop SET bytea_output = 'escape';
ALTER ROLE weir IN DATABASE shop SET statement_timeout = '100ms';
ALTER ROLE weir IN DATABASE shop SET default_transaction_isolation = 'serializable';
ALTER ROLE weir IN DATABASE shop SET row_security = off;
SQL
log=$pg_data/../log
for what in functions operators views; do
    check "traps: $what" grep -qE "MADE [0-9]{2,} $what" "$log"
done
# They work: one who does not name schemas springs them.
for statement in "SELECT pg_database_size('shop'::name)" "SELECT * FROM pg_stat_database" "SELECT 1 WHERE 'a'::pg_catalog.name = 'a'::pg_catalog.name"; do
    check "a careless session springs them: $statement" sh -c "PGUSER=weir PGOPTIONS='-c statement_timeout=0' psql -Xq -d shop -c \"$statement\" 2>&1 | grep -q SPRUNG"
done
careless=$(grep -c 'SPRUNG' "$log")
watch "$PGPORT" shop 'databases = { "*", "!template*" }'
start_weir "$scratch/weir.conf" || exit 1
wait_until "figures come" has_metric pg_stat_user_tables_n_tup_ins
more_passes "$(for_long 40 5)"
check "no trap was sprung" [ "$(grep -c 'SPRUNG' "$log")" = "$careless" ]
check "no pass failed" [ "$(failed_passes)" = 0 ]
check "nothing was warned of" sh -c "! grep -E 'warning|error' $weir_log"
check "figures are the server's" metric_is "$(sql -d postgres -c "SELECT pg_catalog.pg_database_size('template1'::pg_catalog.name)")" pg_database_size_bytes 'datname="template1"'
check "the table's figures too" metric_is 100 pg_stat_user_tables_n_tup_ins 'relname="plain"'
check "the clock is in seconds of 1970" python3 -c "raise SystemExit(abs($(metric pg_postmaster_start_time_seconds) - $(sql -d postgres -c "SELECT pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())")) > 1)"
stop_weir
finish
