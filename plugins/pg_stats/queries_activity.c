/* queries_activity.c - sessions, locks and what they wait for; queries.h says what a row means. */
#include "query_rows.h"

static const struct query_column activity_columns[] = {
    LABEL("datname", "d.datname"),
    LABEL("state", "s.state"),
    LABEL("usename", "a.usename"),
    LABEL("application_name", "a.application_name"),
    LABEL("backend_type", "a.backend_type"),
    LABEL("wait_event_type", "a.wait_event_type"),
    LABEL("wait_event", "a.wait_event"),
    GAUGE("count", "coalesce(a.count, 0)", "Connections in this state"),
    REAL_GAUGE("max_tx_duration", "coalesce(a.duration, 0)", "Longest time a transaction in this state has been running, in seconds"),
    END};

static const struct query_column locks_columns[] = {
    LABEL("datname", "d.datname"),
    LABEL("mode", "m.mode"),
    GAUGE("count", "coalesce(l.count, 0)", "Locks held or awaited"),
    END};

const struct query queries_activity[] = {
    {.group = "activity", .prefix = "pg_stat_activity_", .columns = activity_columns,
     .from = "FROM (VALUES ('active'), ('idle'), ('idle in transaction'), ('idle in transaction (aborted)'), "
             "('fastpath function call'), ('disabled')) AS s (state) CROSS JOIN pg_catalog.pg_database d "
             "LEFT JOIN (SELECT datid, state, usename, application_name, backend_type, wait_event_type, wait_event, "
             "pg_catalog.count(*) AS count, "
             "pg_catalog.max(pg_catalog.date_part('epoch', pg_catalog.now() - xact_start)) AS duration "
             "FROM pg_catalog.pg_stat_activity WHERE pid <> pg_catalog.pg_backend_pid() "
             "GROUP BY 1, 2, 3, 4, 5, 6, 7) a ON a.state = s.state AND a.datid = d.oid"},
    {.group = "locks", .prefix = "pg_locks_", .columns = locks_columns,
     .from = "FROM (VALUES ('accesssharelock'), ('rowsharelock'), ('rowexclusivelock'), ('shareupdateexclusivelock'), "
             "('sharelock'), ('sharerowexclusivelock'), ('exclusivelock'), ('accessexclusivelock'), ('sireadlock')) "
             "AS m (mode) CROSS JOIN pg_catalog.pg_database d "
             "LEFT JOIN (SELECT database, pg_catalog.lower(mode) AS mode, pg_catalog.count(*) AS count "
             "FROM pg_catalog.pg_locks WHERE database IS NOT NULL GROUP BY 1, 2) l "
             "ON l.database = d.oid AND l.mode = m.mode"},
    {.group = NULL}};
