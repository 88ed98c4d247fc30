/* queries_progress.c - what maintenance is at work and how far it is; queries.h says what a row means.
 *
 * Work on one table is shown once, however many processes do it: their figures are summed up.  The phase is a label, in rows of
 * their own (GROUPING SETS), so that the figures stay the same series from the beginning to the end.
 */
#include "query_rows.h"

/* As postgres_exporter writes it: the schema unless it is public, the oid if the relation is another database's. */
#define NAME(oid) "pg_catalog.regexp_replace(" oid "::pg_catalog.regclass::pg_catalog.text, '^public\\.', '')"
/* The name in an autovacuum worker's "autovacuum: VACUUM schema.table (to prevent wraparound)". */
#define AUTOVACUUM_NAME(query, from) \
    "pg_catalog.regexp_replace(pg_catalog.substring(" query ", '^autovacuum: (?:VACUUM |ANALYZE )+" from "(.+)$'), " \
    "' \\(to prevent wraparound\\)$', '')"
#define RELNAME \
    "CASE WHEN p.datname = " DATABASE " THEN " NAME("p.relid") " ELSE coalesce((SELECT " \
    AUTOVACUUM_NAME("query", "(?:public\\.)?") " FROM pg_catalog.pg_stat_get_activity(p.pid)), p.relid::pg_catalog.text) END"
#define INDEXRELNAME(oid) \
    "CASE WHEN p." oid " = 0 THEN NULL WHEN p.datname = " DATABASE " THEN " NAME("p." oid) " ELSE p." oid "::pg_catalog.text END"

#define FIGURE(n, e, ...) GAUGE(n, "CASE WHEN GROUPING(p.phase) = 1 THEN pg_catalog.sum(" e ")::pg_catalog.int8 END", __VA_ARGS__, \
                                .flags = COLUMN_OPTIONAL)
#define PHASE GAUGE("phase", "CASE WHEN GROUPING(p.phase) = 0 THEN pg_catalog.count(*) END", "Processes in this phase", \
                    .flags = COLUMN_OPTIONAL)
#define DELAY REAL_GAUGE("delay_seconds", "CASE WHEN GROUPING(p.phase) = 1 THEN pg_catalog.sum(p.delay_time) / 1000 END", \
                         "Time slept for the sake of vacuum_cost_delay", .unit = "seconds", .flags = COLUMN_OPTIONAL, \
                         .min_version = 180000)

#define OF_VACUUM(e) "CASE WHEN v.phase IS NULL THEN " e " END"
#define VACUUM(n, e, ...) GAUGE(n, OF_VACUUM(e), __VA_ARGS__, .flags = COLUMN_OPTIONAL)
static const struct query_column vacuum_columns[] = {
    LABEL("datname", "p.datname"),
    LABEL("relname", "p.relname"),
    LABEL("phase", "v.phase"),
    GAUGE("phase", "(p.phase = v.phase)::pg_catalog.int4::pg_catalog.int8", "1 for the phase the vacuum is in, 0 for the others",
          .flags = COLUMN_OPTIONAL),
    VACUUM("heap_blks", "p.heap_blks_total", "Blocks of the table when the scan began"),
    VACUUM("heap_blks_scanned", "p.heap_blks_scanned", "Blocks of the table scanned"),
    VACUUM("heap_blks_vacuumed", "p.heap_blks_vacuumed", "Blocks of the table vacuumed"),
    VACUUM("index_vacuums", "p.index_vacuum_count", "Times that all indexes were vacuumed"),
    VACUUM("max_dead_tuples", "p.max_dead_tuples", "Dead rows that fit into memory before the indexes must be vacuumed",
           .end_version = 170000),
    VACUUM("num_dead_tuples", "p.num_dead_tuples", "Dead rows collected since the indexes were vacuumed last",
           .end_version = 170000),
    VACUUM("num_dead_tuples", "p.num_dead_item_ids", "Dead rows collected since the indexes were vacuumed last",
           .min_version = 170000),
    VACUUM("max_dead_tuple_bytes", "p.max_dead_tuple_bytes", "Memory for dead rows before the indexes must be vacuumed",
           .unit = "bytes", .min_version = 170000),
    VACUUM("dead_tuple_bytes", "p.dead_tuple_bytes", "Memory taken by dead rows since the indexes were vacuumed last",
           .unit = "bytes", .min_version = 170000),
    VACUUM("indexes", "p.indexes_total", "Indexes that will be vacuumed or cleaned up in this phase", .min_version = 170000),
    VACUUM("indexes_processed", "p.indexes_processed", "Indexes that were vacuumed or cleaned up in this phase",
           .min_version = 170000),
    REAL_GAUGE("delay_seconds", OF_VACUUM("p.delay_time / 1000"), "Time slept for the sake of vacuum_cost_delay", .unit = "seconds",
               .flags = COLUMN_OPTIONAL, .min_version = 180000),
    END};

static const struct query_column analyze_columns[] = {
    LABEL("datname", "p.datname"),
    LABEL("relname", "p.relname"),
    LABEL("phase", "p.phase"),
    PHASE,
    FIGURE("sample_blks", "p.sample_blks_total", "Blocks of the table that will be sampled"),
    FIGURE("sample_blks_scanned", "p.sample_blks_scanned", "Blocks of the table sampled"),
    FIGURE("ext_stats", "p.ext_stats_total", "Extended statistics of the table"),
    FIGURE("ext_stats_computed", "p.ext_stats_computed", "Extended statistics computed"),
    FIGURE("child_tables", "p.child_tables_total", "Child tables, when a parent is analyzed"),
    FIGURE("child_tables_done", "p.child_tables_done", "Child tables scanned"),
    DELAY,
    END};

static const struct query_column create_index_columns[] = {
    LABEL("datname", "p.datname"),
    LABEL("relname", "p.relname"),
    LABEL("indexrelname", "p.indexrelname"),
    LABEL("command", "p.command"),
    LABEL("phase", "p.phase"),
    PHASE,
    FIGURE("lockers", "p.lockers_total", "Sessions to wait for, when the index is built or dropped concurrently"),
    FIGURE("lockers_done", "p.lockers_done", "Sessions waited for"),
    FIGURE("blocks", "p.blocks_total", "Blocks to process in this phase"),
    FIGURE("blocks_done", "p.blocks_done", "Blocks processed in this phase"),
    FIGURE("tuples", "p.tuples_total", "Rows to process in this phase"),
    FIGURE("tuples_done", "p.tuples_done", "Rows processed in this phase"),
    FIGURE("partitions", "p.partitions_total", "Partitions to index"),
    FIGURE("partitions_done", "p.partitions_done", "Partitions indexed"),
    END};

static const struct query_column cluster_columns[] = {
    LABEL("datname", "p.datname"),
    LABEL("relname", "p.relname"),
    LABEL("command", "p.command"),
    LABEL("phase", "p.phase"),
    PHASE,
    FIGURE("heap_tuples_scanned", "p.heap_tuples_scanned", "Rows scanned"),
    FIGURE("heap_tuples_written", "p.heap_tuples_written", "Rows written"),
    FIGURE("heap_blks", "p.heap_blks_total", "Blocks of the table"),
    FIGURE("heap_blks_scanned", "p.heap_blks_scanned", "Blocks of the table scanned"),
    FIGURE("index_rebuild_count", "p.index_rebuild_count", "Indexes rebuilt"),
    END};

static const struct query_column basebackup_columns[] = {
    LABEL("phase", "p.phase"),
    PHASE,
    GAUGE("backups", "CASE WHEN GROUPING(p.phase) = 1 THEN pg_catalog.count(*) END", "Base backups being taken",
          .flags = COLUMN_OPTIONAL),
    FIGURE("bytes", "p.backup_total", "Estimated size of the backups; absent if none is estimated", .unit = "bytes"),
    FIGURE("streamed_bytes", "p.backup_streamed", "Size of what was streamed", .unit = "bytes"),
    FIGURE("tablespaces", "p.tablespaces_total", "Tablespaces to stream"),
    FIGURE("tablespaces_streamed", "p.tablespaces_streamed", "Tablespaces streamed"),
    END};

#define COPY(n, e, ...) GAUGE(n, "pg_catalog.sum(" e ")::pg_catalog.int8", __VA_ARGS__)
static const struct query_column copy_columns[] = {
    LABEL("datname", "p.datname"),
    LABEL("relname", "p.relname"),
    LABEL("command", "p.command"),
    LABEL("type", "p.type"),
    GAUGE("backends", "pg_catalog.count(*)", "COPY commands at work"),
    COPY("bytes", "nullif(p.bytes_total, 0)", "Size of the file that COPY FROM reads", .unit = "bytes", .flags = COLUMN_OPTIONAL),
    COPY("bytes_processed", "p.bytes_processed", "Bytes read or written"),
    COPY("tuples_processed", "p.tuples_processed", "Rows read or written"),
    COPY("tuples_excluded", "p.tuples_excluded", "Rows left out by the WHERE clause"),
    COPY("tuples_skipped", "p.tuples_skipped", "Rows left out because of malformed data", .min_version = 170000),
    END};

static const struct query_column autovacuum_columns[] = {
    LABEL("relname", "a.relname"),
    GAUGE("pg_autovacuum_workers", "CASE WHEN GROUPING(a.relname) = 1 THEN pg_catalog.count(*) END", "Autovacuum workers at work",
          .flags = COLUMN_OPTIONAL | COLUMN_FULL_NAME),
    GAUGE("pg_autovacuum_workers_max",
          "CASE WHEN GROUPING(a.relname) = 1 THEN least(pg_catalog.current_setting('autovacuum_max_workers')::pg_catalog.int8, "
          "pg_catalog.current_setting('autovacuum_worker_slots', true)::pg_catalog.int8) END",
          "Most autovacuum workers there may be", .flags = COLUMN_OPTIONAL | COLUMN_FULL_NAME),
    GAUGE("pg_autovacuum_wraparound_workers",
          "CASE WHEN GROUPING(a.relname) = 1 THEN pg_catalog.count(*) FILTER (WHERE a.wraparound) END",
          "Autovacuum workers that prevent wraparound, and do not give way to others' locks",
          .flags = COLUMN_OPTIONAL | COLUMN_FULL_NAME),
    REAL_GAUGE("pg_autovacuum_longest_seconds",
               "CASE WHEN GROUPING(a.relname) = 1 THEN coalesce(pg_catalog.max(" AGE("a.xact_start") "), 0) END",
               "Time the longest running worker has been at its table", .unit = "seconds",
               .flags = COLUMN_OPTIONAL | COLUMN_FULL_NAME),
    REAL_GAUGE("timestamp_seconds",
               "CASE WHEN GROUPING(a.relname) = 0 THEN pg_catalog.min(pg_catalog.date_part('epoch', a.xact_start)) END",
               "Time at which an autovacuum worker began with this table", .unit = "seconds", .flags = COLUMN_OPTIONAL),
    END};

#define PROGRESS(view, more) "FROM (SELECT p.*, " RELNAME " AS relname" more " FROM pg_catalog.pg_stat_progress_" view " p) p "

const struct query queries_progress[] = {
    {.group = "progress_vacuum", .collector = "stat_progress_vacuum", .prefix = "pg_stat_progress_vacuum_",
     .columns = vacuum_columns, .priority = 5,
     .about = "Running vacuums. Tables of another database than the one asked have their names where autovacuum is at work, and "
              "their oid elsewhere.",
     .from = PROGRESS("vacuum", "") "CROSS JOIN (VALUES (NULL), ('initializing'), ('scanning heap'), ('vacuuming indexes'), "
             "('vacuuming heap'), ('cleaning up indexes'), ('truncating heap'), ('performing final cleanup')) AS v (phase)"},
    {.group = "progress_analyze", .prefix = "pg_stat_progress_analyze_",
     .columns = analyze_columns, .priority = 6, .interval_s = 30,
     .about = "Tables being analyzed.",
     .from = PROGRESS("analyze", "") "GROUP BY GROUPING SETS ((p.datname, p.relname), (p.datname, p.relname, p.phase))"},
    {.group = "progress_create_index", .prefix = "pg_stat_progress_create_index_",
     .columns = create_index_columns, .priority = 6, .interval_s = 30,
     .about = "Indexes being built or rebuilt; indexrelname is missing while an index is created without CONCURRENTLY.",
     .from = PROGRESS("create_index", ", " INDEXRELNAME("index_relid") " AS indexrelname")
             "GROUP BY GROUPING SETS ((p.datname, p.relname, p.indexrelname, p.command), "
             "(p.datname, p.relname, p.indexrelname, p.command, p.phase))"},
    {.group = "progress_cluster", .prefix = "pg_stat_progress_cluster_",
     .columns = cluster_columns, .priority = 6, .interval_s = 30,
     .about = "Tables being rewritten by CLUSTER or VACUUM FULL.",
     .from = PROGRESS("cluster", "")
             "GROUP BY GROUPING SETS ((p.datname, p.relname, p.command), (p.datname, p.relname, p.command, p.phase))"},
    {.group = "progress_basebackup", .prefix = "pg_stat_progress_basebackup_",
     .columns = basebackup_columns, .priority = 6, .interval_s = 30,
     .about = "Base backups being taken.",
     .from = "FROM pg_catalog.pg_stat_progress_basebackup p GROUP BY GROUPING SETS ((), (p.phase))"},
    {.group = "progress_copy", .prefix = "pg_stat_progress_copy_",
     .columns = copy_columns, .priority = 6, .interval_s = 30, .min_version = 140000,
     .about = "Tables being copied to or from; COPY of a query's result is not shown.",
     .from = PROGRESS("copy", "") "WHERE p.relid <> 0 GROUP BY p.datname, p.relname, p.command, p.type"},
    {.group = "autovacuum", .collector = "stat_activity_autovacuum", .prefix = "pg_stat_activity_autovacuum_",
     .columns = autovacuum_columns, .priority = 4,
     .about = "Autovacuum workers at work and the most there may be, those against wraparound, and since when each table is "
              "worked at.",
     .from = "FROM (SELECT xact_start, query LIKE '% (to prevent wraparound)' AS wraparound, " AUTOVACUUM_NAME("query", "[^.]+\\.")
             " AS relname FROM " SESSIONS " WHERE backend_type = 'autovacuum worker') a GROUP BY GROUPING SETS ((), (a.relname)) "
             "HAVING GROUPING(a.relname) = 1 OR a.relname IS NOT NULL"},
    {.group = NULL}};
