#!/bin/bash
# monitoring-peers 3, lines 8 to 12 and 33: 5,000 statements with long texts cost the server neither temporary files nor the reading of
# their texts at each pass; their series are few, add up and do not churn; no value that somebody wrote into a statement is shown.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/servers.sh"

start_postgresql "$pg_bin" autovacuum=off "shared_preload_libraries = 'pg_stat_statements'" 'pg_stat_statements.max = 6000' \
    'pg_stat_statements.track = all' || exit 1
sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE EXTENSION pg_stat_statements" -c "CREATE TABLE people (name text, card text)"
for role in 1 2; do sql -c "CREATE ROLE app$role LOGIN"; done
# 71 tables, each beside each: 5,041 statements of 2 kB.
sql <<'SQL'
DO $$
BEGIN
    FOR a IN 1 .. 71 LOOP
        EXECUTE format('CREATE TABLE t%s (x int)', a);
    END LOOP;
    FOR a IN 1 .. 71 LOOP
        FOR b IN 1 .. 71 LOOP
            EXECUTE format('SELECT count(*) /* %s */ FROM t%s AS a, t%s AS b', repeat('long ', 400), a, b);
        END LOOP;
    END LOOP;
END $$;
SQL
# What must not leave the server: in statements that are normalized, and in those that are not.
sql <<'SQL' >/dev/null
INSERT INTO people VALUES ('secret-name-1', 'secret-card-1');
SELECT count(*) FROM people WHERE name = 'secret-name-2' AND card LIKE E'secret\-card-2%';
SELECT count(*) FROM people WHERE name = $q$secret-quoted-3$q$ AND card <> U&'secret-unicode-4';
CREATE ROLE leaky PASSWORD 'secret-password-5';
ALTER ROLE leaky PASSWORD 'secret-password-6';
COMMENT ON TABLE people IS 'secret-comment-7';
SET application_name = 'secret-setting-8';
CREATE VIEW found AS SELECT 'secret-view-9' AS it;
DO 'BEGIN PERFORM ''secret-block-10''; END';
/* secret-comment-11 */ SELECT 1 -- secret-comment-12
    AS "not-secret";
PREPARE p AS SELECT name FROM people WHERE card = 'secret-prepared-13';
EXECUTE p;
DECLARE c CURSOR WITH HOLD FOR SELECT 'secret-cursor-14';
COPY (SELECT 'secret-copy-15') TO STDOUT;
SELECT 4111111111111111, 1.5e3;
SQL
sql -c "SELECT 'secret-open-16" 2>/dev/null
# Some so often that they are among those that are shown.
for _ in $(seq 1 200); do echo "SELECT count(*) FROM people WHERE name = 'secret-name-2' AND card LIKE E'secret\\-card-2%';"; done | sql -f - >/dev/null
for _ in $(seq 1 200); do echo "COMMENT ON TABLE people IS 'secret-comment-7';"; echo "ALTER ROLE leaky PASSWORD 'secret-password-6';"; done | sql -f -
check "the server itself has some of them" [ "$(sql -c "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%secret-%'")" -ge 5 ]
statements() { sql -c "SELECT count(*) FROM pg_stat_statements"; }
check "there are 5,000 statements" [ "$(statements)" -ge 5000 ]
# Room for weir's own too, of which there are sixty: on a busy machine they are as strong as any.
timeout=10s watch "$PGPORT" postgres 'limit_statements = 120 group "statements" { interval = "500ms" } group "statement_texts" { interval = "500ms" }'
temporary=$(sql -c "SELECT temp_files FROM pg_stat_database WHERE datname = 'postgres'")
start_weir "$scratch/weir.conf" || exit 1
series() { curl -sf "$url/metrics" | grep -c "^pg_stat_statements_$1{"; }
wait_until "statements come" has_metric pg_stat_statements_calls_total
more_passes 3
ids() { curl -sf "$url/metrics" | grep '^pg_stat_statements_calls_total{' | grep -o 'queryid="[^"]*"' | sort; }
check "few series (12): $(series calls_total)" [ "$(series calls_total)" -le 130 ]
# What is added, since counters of the others begin with the collector; ours and weir's own are among it.
calls() { sql -c "SELECT sum(calls) FROM pg_stat_statements(false)"; }
# What weir shows, and what the server had counted before and after the moment that it is of.
measure() {
    local until
    low=$(calls)
    until=$(($(sum_of weir_group_passes_total 'instance="pg_stats/a"' 'group="statements"') + 2))
    wait_until "figures newer than those of the server" metric_at_least $until weir_group_passes_total 'instance="pg_stats/a"' 'group="statements"'
    shown=$(sum_of pg_stat_statements_calls_total)
    high=$(calls)
}
begin() { measure; low_before=$low shown_before=$shown high_before=$high; }
adds_up() {
    python3 -c "low, added, high = $low - $high_before, $shown - $shown_before, $high - $low_before
print(low, added, high); raise SystemExit(not max(low, $1) <= added <= high)"
}
begin
# busy TIMES COUNT: so many of them, so often.
busy() {
    sql <<SQL
DO \$\$
BEGIN
    FOR n IN 1 .. $1 LOOP FOR a IN 1 .. $2 LOOP
        EXECUTE format('SELECT count(*) /* %s */ FROM t%s AS a, t%s AS b', repeat('long ', 400), a, 71 - a);
    END LOOP; END LOOP;
END \$\$;
SQL
}
busy 20 50
measure
check "with the others added up (12)" adds_up 1000

# Ten of them have their places, and stay at it; others come once each.
group=statements
PGOPTIONS='-c work_mem=64MB' sql -c "SELECT 'queryid=\"' || queryid || '\"' FROM pg_stat_statements
    WHERE query ~ concat('FROM t(', (SELECT string_agg(a || ' AS a, t' || 71 - a, '|') FROM generate_series(1, 10) a), ') AS b\$')" |
    sort > "$scratch/busy"
ten_are_shown() {
    ids | comm -23 "$scratch/busy" - > "$scratch/lost"
    cat "$scratch/lost"
    [ "$(wc -l < "$scratch/busy")" = 10 ] && [ ! -s "$scratch/lost" ]
}
stay() { busy 500 10; more_passes 1 >/dev/null; ten_are_shown; }
wait_limit=$((2 * wait_limit)) wait_until "what is busy gets its places (12)" stay
before=$(sum_of weir_pg_query_bytes_total "group=\"$group\"") asked=$(sum_of weir_pg_queries_total "group=\"$group\"")
lost=0
for i in $(seq 1 "$(for_long 60 5)"); do
    sql -c "SELECT count(*) /* $(printf 'long %.0s' $(seq 400)) */ FROM t$i AS a, t$i AS b" >/dev/null
    stay >/dev/null || lost=$((lost + 1))
done
check "texts are not read anew (9 to 11): bytes of one pass" python3 -c "
b, n = $(sum_of weir_pg_query_bytes_total "group=\"$group\"") - $before, $(sum_of weir_pg_queries_total "group=\"$group\"") - $asked
print('%.0f bytes in each of %d passes' % (b / max(n, 1), n))
raise SystemExit(n < 1 or b / n > 2000000)"
sed 's/^/# /' "$scratch/check.out"
check "and keeps them (12)" [ $lost = 0 ]
# Texts cannot be had without: new ones are asked for once a minute, and only where somebody wants them.
texts=$(sum_of weir_pg_queries_total 'group="statement_texts"')
check "no temporary files but for texts, which are seldom asked for (8): $texts times" \
    [ "$(sql -c "SELECT temp_files FROM pg_stat_database WHERE datname = 'postgres'")" -le $((temporary + texts)) -a "$texts" -le $((SECONDS / 60 + 2)) ]
check "no pass failed" [ "$(failed_passes)" = 0 ]
check "the collector stays small: $(metric process_resident_memory_bytes) bytes" metric_at_least 0 process_resident_memory_bytes
check "... below 64 MB" python3 -c "raise SystemExit($(metric process_resident_memory_bytes) > 64e6 * ${MEMORY_FACTOR:-1})"

# ---- Nothing leaks: line 33 -------------------------------------------------------------------------------------------------------
wait_limit=$((wait_limit + 70)) # texts are asked for once a minute
wait_until "texts are shown" sh -c "[ \$(curl -sf $url/metrics | grep -c '^pg_stat_statements_query_id{') -ge 20 ]"
curl -sf "$url/metrics" > "$scratch/said"
live status >> "$scratch/said" 2>&1
cat "$weir_log" >> "$scratch/said"
check "no value of anybody's is said (33)" sh -c "! grep -n 'secret' '$scratch/said'"
check "nor a number" sh -c "! grep -n '4111111111111111' '$scratch/said'"

# ---- Reset, and more statements than there is room for ----------------------------------------------------------------------------
sql -c "SELECT pg_stat_statements_reset()" >/dev/null
more_passes 3
begin
for _ in $(seq 1 3000); do echo "SELECT count(*) FROM t1 AS a, t2 AS b;"; done | sql -f - >/dev/null
measure
check "after a reset what is added is counted" adds_up 3000
sql -c "DROP EXTENSION pg_stat_statements"
wait_until "the extension dropped: its figures are gone" lacks_metric pg_stat_statements_calls_total
check "the extension dropped: pg_up" metric_is 1 pg_up
sql -c "CREATE EXTENSION pg_stat_statements VERSION '1.8'"
wait_until "an old version of it: figures" has_metric pg_stat_statements_calls_total
sql -c "ALTER EXTENSION pg_stat_statements UPDATE"
more_passes 4
check "updated: figures" has_metric pg_stat_statements_calls_total
sql -c "CREATE SCHEMA elsewhere" -c "GRANT USAGE ON SCHEMA elsewhere TO weir" -c "ALTER EXTENSION pg_stat_statements SET SCHEMA elsewhere"
more_passes 4
wait_until "in another schema: figures" has_metric pg_stat_statements_calls_total
stop_weir
finish
