/* queries_activity.c - sessions, their locks and what they wait for; queries.h says what a row means.
 *
 * Names of roles and databases are looked up for what is left after grouping.  Ages are by clock_timestamp(): what began after
 * this transaction did would else be younger than nothing.
 * Where one statement answers several questions it groups its rows in several ways (GROUPING SETS); each way has families of
 * its own, and the others are NULL in its rows.
 */
#include "query_rows.h"

#define OTHERS "pid <> pg_catalog.pg_backend_pid()"

static const struct query_column activity_columns[] = {
    LABEL("datname", "d.datname"),
    LABEL("state", "s.state"),
    FOLDED("usename", "pg_catalog.pg_get_userbyid(a.usesysid)"),
    FOLDED("application_name", "a.application_name"),
    LABEL("backend_type", "a.backend_type"),
    LABEL("wait_event_type", "a.wait_event_type"),
    LABEL("wait_event", "a.wait_event"),
    GAUGE("count", "coalesce(a.count, 0)", "Connections in this state", .flags = COLUMN_RANK),
    REAL_GAUGE("max_tx_duration", "coalesce(a.duration, 0)",
               "Longest time a transaction in this state has been running, in seconds", .flags = COLUMN_MAX),
    END};

#define LONGEST(e) "CASE WHEN t.threshold IS NULL THEN coalesce(" e ", 0) END"
static const struct query_column sessions_columns[] = {
    LABEL("datname", "d.datname"),
    LABEL("threshold", "t.threshold"),
    REAL_GAUGE("longest_query_seconds", LONGEST("a.query"), "Time the longest running query has taken", .unit = "seconds",
               .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("longest_transaction_seconds", LONGEST("a.transaction"), "Age of the oldest open transaction of a client",
               .unit = "seconds", .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("longest_idle_in_transaction_seconds", LONGEST("a.waiting"),
               "Longest time a client has left its open transaction idle", .unit = "seconds", .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("longest_idle_seconds", LONGEST("a.idle"), "Longest time a client has been idle outside of a transaction",
               .unit = "seconds", .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("oldest_session_seconds", LONGEST("a.session"), "Age of the oldest session of a client", .unit = "seconds",
               .flags = COLUMN_OPTIONAL),
    GAUGE("long_queries", "t.queries", "Queries that have been running for longer than the threshold, in seconds",
          .flags = COLUMN_OPTIONAL),
    GAUGE("long_transactions", "t.transactions", "Transactions that have been open for longer than the threshold, in seconds",
          .flags = COLUMN_OPTIONAL),
    GAUGE("long_idle_in_transaction", "t.waiting",
          "Clients that have left their open transaction idle for longer than the threshold, in seconds", .flags = COLUMN_OPTIONAL),
    END};
/* Counts for one threshold, and the row made of them. */
#define OVER(s) \
    "pg_catalog.count(*) FILTER (WHERE query > " s ") AS q" s ", " \
    "pg_catalog.count(*) FILTER (WHERE transaction > " s ") AS t" s ", " \
    "pg_catalog.count(*) FILTER (WHERE waiting > " s ") AS w" s ", "
#define ROW_OVER(s) ", ('" s "', a.q" s ", a.t" s ", a.w" s ")"

#define BY_TYPE(e) "CASE WHEN GROUPING(b.wait_event) = 1 THEN " e " END"
static const struct query_column backends_columns[] = {
    LABEL("backend_type", "b.backend_type"),
    LABEL("wait_event_type", "b.wait_event_type"),
    LABEL("wait_event", "b.wait_event"),
    GAUGE("backends", BY_TYPE("pg_catalog.sum(b.n)"), "Processes of this type", .flags = COLUMN_OPTIONAL),
    GAUGE("backends_on_cpu", BY_TYPE("pg_catalog.sum(b.n) FILTER (WHERE b.busy AND b.wait_event IS NULL)"),
          "Processes that work and wait for nothing: on a CPU, or wanting one", .flags = COLUMN_OPTIONAL),
    GAUGE("backends_waiting", "CASE WHEN GROUPING(b.wait_event) = 0 THEN pg_catalog.sum(b.n) END",
          "Processes that wait for this event in the midst of their work", .flags = COLUMN_OPTIONAL),
    END};

static const struct query_column connections_columns[] = {
    GAUGE("used", "pg_catalog.count(*)", "Connections of clients"),
    GAUGE("max", "pg_catalog.current_setting('max_connections')::pg_catalog.int8", "Most connections of clients the server takes"),
    GAUGE("reserved",
          "pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int8 "
          "+ coalesce(pg_catalog.current_setting('reserved_connections', true)::pg_catalog.int8, 0)",
          "Of these connections, those kept for superusers and roles with pg_use_reserved_connections"),
    GAUGE("local", "pg_catalog.count(*) FILTER (WHERE a.client_port = -1)", "Connections over Unix-domain sockets"),
    GAUGE("ssl", "pg_catalog.count(*) FILTER (WHERE a.ssl)", "Connections encrypted by SSL"),
    GAUGE("gssenc", "pg_catalog.count(*) FILTER (WHERE a.gss_enc)", "Connections encrypted by GSSAPI"),
    GAUGE("unencrypted", "pg_catalog.count(*) FILTER (WHERE a.client_port <> -1 AND NOT a.ssl AND NOT a.gss_enc)",
          "Connections over TCP without encryption"),
    END};

static const struct query_column long_transactions_columns[] = {
    GAUGE("long_running_transactions", "pg_catalog.count(*)", "Open transactions that are not idle, without autovacuum's"),
    REAL_GAUGE("long_running_transactions_oldest_timestamp_seconds", "coalesce(pg_catalog.max(" AGE("a.xact_start") "), 0)",
               "Age of the oldest of these transactions, in seconds"),
    END};

/* A histogram, row by row: its buckets, and in a row without `le` its sum and count. */
#define IDLE_HELP "How long sessions have been idle, in seconds"
#define IDLE_SECONDS AGE("a.state_change")
static const struct query_column idle_columns[] = {
    LABEL("state", "a.state"),
    LABEL("application_name", "a.application_name"),
    LABEL("le", "b.le"),
    {.name = "bucket",
     .expression = "CASE WHEN b.le IS NOT NULL THEN pg_catalog.count(*) FILTER (WHERE " IDLE_SECONDS
                   " <= pg_catalog.replace(b.le, '+Inf', 'Infinity')::pg_catalog.float8) END",
     .type = COLUMN_INT8, .kind = WEIR_HISTOGRAM, .flags = COLUMN_OPTIONAL,
     .help = IDLE_HELP},
    {.name = "sum", .expression = "CASE WHEN b.le IS NULL THEN pg_catalog.sum(" IDLE_SECONDS ") END", .type = COLUMN_FLOAT8,
     .kind = WEIR_HISTOGRAM, .flags = COLUMN_OPTIONAL, .help = IDLE_HELP},
    {.name = "count", .expression = "CASE WHEN b.le IS NULL THEN pg_catalog.count(*) END", .type = COLUMN_INT8,
     .kind = WEIR_HISTOGRAM, .flags = COLUMN_OPTIONAL, .help = IDLE_HELP},
    END};

static const struct query_column locks_columns[] = {
    LABEL("datname", "d.datname"),
    LABEL("mode", "pg_catalog.lower(m.mode)"),
    GAUGE("count", "coalesce(l.count, 0)", "Locks held or awaited"),
    END};

#define IN_ALL(e) "CASE WHEN GROUPING(w.locktype, w.usesysid) = 3 THEN coalesce(" e ", 0) END"
#define BY_LOCK(e) "CASE WHEN GROUPING(w.locktype, w.usesysid) = 1 THEN " e " END"
#define BY_BLOCKER(e) "CASE WHEN GROUPING(w.locktype, w.usesysid) = 2 THEN " e " END"
#define LONGEST_WAIT "pg_catalog.max(" AGE("w.waitstart") ")"
static const struct query_column blocking_columns[] = {
    LABEL("datname", "d.datname"),
    LABEL("locktype", "w.locktype"),
    LABEL("mode", "pg_catalog.lower(w.mode)"),
    FOLDED("usename", "pg_catalog.pg_get_userbyid(w.usesysid)"),
    FOLDED("application_name", "w.application_name"),
    FOLDED("blocker_usename", "pg_catalog.pg_get_userbyid(r.usesysid)"),
    FOLDED("blocker_application_name", "r.application_name"),
    LABEL("blocker_backend_type", "CASE WHEN w.root = 0 THEN 'prepared transaction' ELSE r.backend_type END"),
    LABEL("blocker_state", "r.state"),
    GAUGE("blocked_sessions", IN_ALL("pg_catalog.count(w.pid)"), "Sessions that wait for a lock", .flags = COLUMN_OPTIONAL),
    GAUGE("blocked_depth", IN_ALL("pg_catalog.max(w.depth)::pg_catalog.int8"),
          "Length of the longest chain of sessions that wait for each other, without the one at its root",
          .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("blocked_longest_seconds", IN_ALL(LONGEST_WAIT), "Time the longest waiting session has waited for a lock",
               .unit = "seconds", .flags = COLUMN_OPTIONAL, .min_version = 140000),
    GAUGE("blocking_sessions", IN_ALL("pg_catalog.count(DISTINCT w.root)"),
          "Sessions that keep others waiting and wait for no lock themselves; prepared transactions together count as one",
          .flags = COLUMN_OPTIONAL),
    GAUGE("locks_waiting", BY_LOCK("pg_catalog.count(*)"), "Locks of this type and mode that are waited for",
          .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("locks_waiting_longest_seconds", BY_LOCK(LONGEST_WAIT), "Longest time one of these locks has been waited for",
               .unit = "seconds", .flags = COLUMN_OPTIONAL, .min_version = 140000),
    GAUGE("blocked_by_sessions", BY_BLOCKER("pg_catalog.count(*)"),
          "Sessions that wait for a lock, by who is at the root of their chain", .flags = COLUMN_OPTIONAL | COLUMN_RANK),
    REAL_GAUGE("blocked_by_longest_seconds", BY_BLOCKER(LONGEST_WAIT), "Longest time one of these sessions has waited",
               .unit = "seconds", .flags = COLUMN_OPTIONAL | COLUMN_MAX, .min_version = 140000),
    END};

static const struct query_column xmin_columns[] = {
    LABEL("datname", "d.datname"),
    LABEL("holder", "h.holder"),
    GAUGE("age_transactions", "CASE WHEN GROUPING(h.holder) = 0 THEN pg_catalog.max(h.age)::pg_catalog.int8 END",
          "Transactions since the oldest one whose row versions this kind of holder keeps from being removed",
          .unit = "transactions", .flags = COLUMN_OPTIONAL),
    GAUGE("oldest_age_transactions",
          "CASE WHEN GROUPING(h.holder) = 1 THEN coalesce(pg_catalog.max(h.age), 0)::pg_catalog.int8 END",
          "Transactions since the oldest one whose row versions anything keeps from being removed", .unit = "transactions",
          .flags = COLUMN_OPTIONAL),
    END};

static const struct query_column prepared_columns[] = {
    LABEL("datname", "d.datname"),
    GAUGE("prepared_transactions", "coalesce(p.count, 0)", "Transactions prepared for two-phase commit and not yet ended"),
    REAL_GAUGE("prepared_transactions_oldest_seconds", "coalesce(p.oldest, 0)", "Time since the oldest of them was prepared",
               .unit = "seconds"),
    END};

const struct query queries_activity[] = {
    {.group = "activity", .collector = "stat_activity", .prefix = "pg_stat_activity_", .columns = activity_columns,
     .limit = LIMIT_SESSIONS, .priority = 3,
     .about = "Connections by database, state, user, application and wait event; six states of every database, 0 where there is "
              "none.",
     .from = "FROM (VALUES ('active'), ('idle'), ('idle in transaction'), ('idle in transaction (aborted)'), "
             "('fastpath function call'), ('disabled')) AS s (state) CROSS JOIN pg_catalog.pg_database d "
             "LEFT JOIN (SELECT datid, state, usesysid, application_name, backend_type, wait_event_type, wait_event, "
             "pg_catalog.count(*) AS count, pg_catalog.max(" AGE("xact_start") ") AS duration FROM " SESSIONS " WHERE " OTHERS
             " GROUP BY 1, 2, 3, 4, 5, 6, 7) a ON a.state = s.state AND a.datid = d.oid"},
    {.group = "sessions", .prefix = "pg_stat_activity_", .columns = sessions_columns, .priority = 3,
     .about = "Longest queries, transactions and idle times of the clients of each database that has any, and how many are "
              "beyond 1, 5, 10, 60 and 600 seconds: slow queries and forgotten transactions.",
     .from = "FROM (SELECT datid, " OVER("1") OVER("5") OVER("10") OVER("60") OVER("600")
             "pg_catalog.max(query) AS query, pg_catalog.max(transaction) AS transaction, pg_catalog.max(waiting) AS waiting, "
             "pg_catalog.max(idle) AS idle, pg_catalog.max(session) AS session FROM (SELECT datid, "
             "CASE WHEN state = 'active' THEN " AGE("query_start") " END AS query, " AGE("xact_start") " AS transaction, "
             "CASE WHEN state = 'idle' THEN " AGE("state_change") " END AS idle, "
             "CASE WHEN state = ANY (ARRAY['idle in transaction', 'idle in transaction (aborted)']) THEN " AGE("state_change")
             " END AS waiting, " AGE("backend_start") " AS session FROM " SESSIONS " WHERE " OTHERS
             " AND backend_type = 'client backend' OFFSET 0) s GROUP BY datid) a JOIN pg_catalog.pg_database d ON d.oid = a.datid "
             "CROSS JOIN LATERAL (VALUES (NULL, NULL, NULL, NULL)" ROW_OVER("1") ROW_OVER("5") ROW_OVER("10") ROW_OVER("60")
             ROW_OVER("600") ") AS t (threshold, queries, transactions, waiting)"},
    {.group = "backends", .prefix = "pg_stat_activity_", .columns = backends_columns, .priority = 3,
     .about = "The server's processes by type, how many of them work, and what those wait for.",
     .from = /* A process that waits in its main loop, or for the next command, does not work. */
             "FROM (SELECT backend_type, wait_event_type, wait_event, 1 AS n, wait_event_type IS DISTINCT FROM 'Activity' "
             "AND (state IS NULL OR state = ANY (ARRAY['active', 'fastpath function call'])) AS busy "
             "FROM " SESSIONS " WHERE " OTHERS " UNION ALL VALUES ('client backend', NULL, NULL, 0, true), "
             "('parallel worker', NULL, NULL, 0, true), ('walsender', NULL, NULL, 0, true), "
             "('autovacuum worker', NULL, NULL, 0, true)) b "
             "GROUP BY GROUPING SETS ((b.backend_type), (b.backend_type, b.wait_event_type, b.wait_event, b.busy)) "
             "HAVING GROUPING(b.wait_event) = 1 OR (b.busy AND b.wait_event IS NOT NULL)"},
    {.group = "connections", .prefix = "pg_connections_", .columns = connections_columns, .priority = 2,
     .about = "Connections of clients beside the most there may be, and how they are encrypted.",
     .from = "FROM " SESSIONS " a WHERE a.backend_type = 'client backend'"},
    {.group = "long_running_transactions", .collector = "long_running_transactions", .prefix = "pg_",
     .columns = long_transactions_columns, .priority = 4,
     .about = "postgres_exporter's figures of open transactions; the group sessions tells more.",
     .from = "FROM " SESSIONS " a WHERE " OTHERS " AND a.state IS DISTINCT FROM 'idle' AND a.xact_start IS NOT NULL "
             "AND a.backend_type <> 'autovacuum worker'"},
    {.group = "process_idle", .collector = "process_idle", .prefix = "pg_process_idle_seconds_", .columns = idle_columns,
     .priority = 6, .off = true, .about = "postgres_exporter's histogram of how long sessions have been idle, of all applications.",
     .from = "FROM " SESSIONS " a CROSS JOIN (VALUES ('1'), ('2'), ('5'), ('15'), ('30'), ('60'), ('90'), ('120'), "
             "('300'), ('+Inf'), (NULL)) AS b (le) WHERE a.state ~ '^idle' GROUP BY 1, 2, 3"},
    {.group = "locks", .collector = "locks", .prefix = "pg_locks_", .columns = locks_columns, .priority = 3,
     .about = "Locks by database and mode; nine modes of every database. It costs 1 to 2 ms per 1,000 locks, for a part of which "
              "nobody can take or leave one.",
     .from = "FROM (VALUES ('AccessShareLock'), ('RowShareLock'), ('RowExclusiveLock'), ('ShareUpdateExclusiveLock'), "
             "('ShareLock'), ('ShareRowExclusiveLock'), ('ExclusiveLock'), ('AccessExclusiveLock'), ('SIReadLock')) "
             "AS m (mode) CROSS JOIN pg_catalog.pg_database d "
             "LEFT JOIN (SELECT database, mode, pg_catalog.count(*) AS count FROM pg_catalog.pg_locks GROUP BY 1, 2) l "
             "ON l.database = d.oid AND l.mode = m.mode"},
    {.group = "blocking", .prefix = "pg_", .columns = blocking_columns, .limit = LIMIT_SESSIONS, .priority = 2,
     .about = "Who waits for locks, for how long (14 and later), and who is at the root; asks for nothing but the list of sessions "
              "while nobody waits.",
     /* Those that wait for the same lock in the same mode have the same root: pg_blocking_pids is asked for the first of them
      * alone, which makes it one call instead of 300, each with a list of those ahead.  Among its blockers one that waits for
      * nothing is taken first.  So everyone has one blocker, and the tree, walked from its roots, cannot run in a circle. */
     .from = "FROM (WITH RECURSIVE "
             "waiting AS MATERIALIZED (SELECT pid, datid, usesysid, application_name, query_start FROM " SESSIONS
             " WHERE wait_event_type = 'Lock'), "
             "wait AS MATERIALIZED (SELECT l.*, s.datid, s.usesysid, s.application_name, pg_catalog.first_value(l.pid) OVER "
             "(PARTITION BY l.locktype, l.database, l.relation, l.page, l.tuple, l.virtualxid, l.transactionid::pg_catalog.text, "
             "l.classid, l.objid, l.objsubid, l.mode ORDER BY s.query_start) AS first FROM (SELECT * FROM pg_catalog.pg_locks "
             "WHERE EXISTS (SELECT FROM waiting) AND NOT granted) l JOIN waiting s ON s.pid = l.pid), "
             "blocker AS (SELECT DISTINCT ON (f.first) f.first, b.pid FROM (SELECT DISTINCT first FROM wait) f "
             "CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(f.first)) AS b (pid) "
             "ORDER BY f.first, b.pid IN (SELECT pid FROM wait)), "
             "blocked AS MATERIALIZED (SELECT w.pid, CASE WHEN b.pid = w.pid THEN w.first ELSE b.pid END AS blocker "
             "FROM wait w JOIN blocker b ON b.first = w.first), "
             "tree AS (SELECT pid, blocker AS root, 1 AS depth FROM blocked WHERE blocker NOT IN (SELECT pid FROM wait) "
             "UNION ALL SELECT b.pid, t.root, t.depth + 1 FROM tree t JOIN blocked b ON b.blocker = t.pid) "
             "SELECT w.*, t.root, t.depth FROM wait w LEFT JOIN tree t ON t.pid = w.pid) w "
             "LEFT JOIN " SESSIONS " r ON r.pid = w.root LEFT JOIN pg_catalog.pg_database d ON d.oid = w.datid "
             "GROUP BY GROUPING SETS ((), (d.datname, w.locktype, w.mode), "
             "(d.datname, w.usesysid, w.application_name, w.root = 0, r.usesysid, r.application_name, r.backend_type, r.state))"},
    {.group = "xmin_horizon", .prefix = "pg_xmin_horizon_", .columns = xmin_columns, .priority = 4,
     .about = "What keeps vacuum from removing dead rows: sessions and prepared transactions of a database; replication slots "
              "(of catalogs: logical ones) and standbys with hot_standby_feedback for all databases.",
     /* VACUUM ignores the snapshots of other VACUUMs, and of walsenders that decode. */
     .from = "FROM (SELECT CASE WHEN backend_type = 'walsender' THEN 'standby' ELSE 'session' END AS holder, datid, "
             "greatest(pg_catalog.age(backend_xid), pg_catalog.age(backend_xmin)) AS age FROM " SESSIONS " WHERE " OTHERS
             " AND (backend_type <> 'walsender' OR datid IS NULL) "
             "AND pid NOT IN (SELECT pid FROM pg_catalog.pg_stat_get_progress_info('VACUUM')) "
             "UNION ALL SELECT 'prepared transaction', dbid, pg_catalog.age(transaction) FROM pg_catalog.pg_prepared_xact() "
             "UNION ALL SELECT v.holder, NULL, pg_catalog.age(v.xmin) FROM pg_catalog.pg_get_replication_slots() s "
             "CROSS JOIN LATERAL (VALUES ('replication slot', s.xmin), ('replication slot, catalogs', s.catalog_xmin)) "
             "AS v (holder, xmin)) h LEFT JOIN pg_catalog.pg_database d ON d.oid = h.datid "
             "GROUP BY GROUPING SETS ((), (h.holder, d.datname)) "
             "HAVING GROUPING(h.holder) = 1 OR pg_catalog.max(h.age) IS NOT NULL"},
    {.group = "prepared_transactions", .prefix = "pg_", .columns = prepared_columns, .priority = 4,
     .about = "Transactions prepared and not yet ended, which keep locks and dead rows; nothing where max_prepared_transactions "
              "is 0.",
     .from = "FROM pg_catalog.pg_database d LEFT JOIN (SELECT dbid, pg_catalog.count(*) AS count, pg_catalog.max(" AGE("prepared")
             ") AS oldest FROM pg_catalog.pg_prepared_xact() GROUP BY dbid) p ON p.dbid = d.oid "
             "WHERE d.datallowconn AND pg_catalog.current_setting('max_prepared_transactions') <> '0'"},
    {.group = NULL}};
