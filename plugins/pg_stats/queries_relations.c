/* queries_relations.c - tables and indexes of each database; queries.h says what a row means. */
#include "query_rows.h"

static const struct query_column table_columns[] = {
    LABEL("datname", DATABASE),
    LABEL("schemaname", "n.nspname"),
    LABEL("relname", "c.relname"),
    COUNTER("seq_scan", "pg_catalog.pg_stat_get_numscans(c.oid)", "Sequential scans on this table"),
    COUNTER("seq_tup_read", "pg_catalog.pg_stat_get_tuples_returned(c.oid)", "Live rows fetched by sequential scans"),
    COUNTER("idx_scan", "i.scans", "Index scans on this table"),
    COUNTER("idx_tup_fetch", "i.fetched + pg_catalog.pg_stat_get_tuples_fetched(c.oid)", "Live rows fetched by index scans"),
    COUNTER("n_tup_ins", "pg_catalog.pg_stat_get_tuples_inserted(c.oid)", "Rows inserted"),
    COUNTER("n_tup_upd", "pg_catalog.pg_stat_get_tuples_updated(c.oid)", "Rows updated"),
    COUNTER("n_tup_del", "pg_catalog.pg_stat_get_tuples_deleted(c.oid)", "Rows deleted"),
    COUNTER("n_tup_hot_upd", "pg_catalog.pg_stat_get_tuples_hot_updated(c.oid)", "Rows updated without a new index entry"),
    GAUGE("n_live_tup", "pg_catalog.pg_stat_get_live_tuples(c.oid)", "Estimated live rows"),
    GAUGE("n_dead_tup", "pg_catalog.pg_stat_get_dead_tuples(c.oid)", "Estimated dead rows"),
    GAUGE("n_mod_since_analyze", "pg_catalog.pg_stat_get_mod_since_analyze(c.oid)",
          "Estimated rows changed since the table was last analyzed"),
    REAL_GAUGE("last_vacuum", EPOCH("pg_catalog.pg_stat_get_last_vacuum_time(c.oid)"), "Time of the last manual vacuum"),
    REAL_GAUGE("last_autovacuum", EPOCH("pg_catalog.pg_stat_get_last_autovacuum_time(c.oid)"), "Time of the last autovacuum"),
    REAL_GAUGE("last_analyze", EPOCH("pg_catalog.pg_stat_get_last_analyze_time(c.oid)"), "Time of the last manual analyze"),
    REAL_GAUGE("last_autoanalyze", EPOCH("pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)"),
               "Time of the last automatic analyze"),
    COUNTER("vacuum_count", "pg_catalog.pg_stat_get_vacuum_count(c.oid)", "Manual vacuums"),
    COUNTER("autovacuum_count", "pg_catalog.pg_stat_get_autovacuum_count(c.oid)", "Automatic vacuums"),
    COUNTER("analyze_count", "pg_catalog.pg_stat_get_analyze_count(c.oid)", "Manual analyzes"),
    COUNTER("autoanalyze_count", "pg_catalog.pg_stat_get_autoanalyze_count(c.oid)", "Automatic analyzes"),
    END};

static const struct query_column table_size_columns[] = {
    LABEL("datname", DATABASE),
    LABEL("schemaname", "n.nspname"),
    LABEL("relname", "c.relname"),
    GAUGE("index_size_bytes", "pg_catalog.pg_indexes_size(c.oid)", "Disk space used by the table's indexes"),
    GAUGE("table_size_bytes", "pg_catalog.pg_table_size(c.oid)", "Disk space used by the table, without its indexes"),
    END};

#define FETCHED(oid) "pg_catalog.pg_stat_get_blocks_fetched(" oid ")"
#define HIT(oid) "pg_catalog.pg_stat_get_blocks_hit(" oid ")"
static const struct query_column table_io_columns[] = {
    LABEL("datname", DATABASE),
    LABEL("schemaname", "n.nspname"),
    LABEL("relname", "c.relname"),
    COUNTER("heap_blocks_read", FETCHED("c.oid") " - " HIT("c.oid"), "Disk blocks read from this table"),
    COUNTER("heap_blocks_hit", HIT("c.oid"), "Buffer hits in this table"),
    COUNTER("idx_blocks_read", "i.fetched - i.hit", "Disk blocks read from all indexes on this table"),
    COUNTER("idx_blocks_hit", "i.hit", "Buffer hits in all indexes on this table"),
    COUNTER("toast_blocks_read", FETCHED("c.reltoastrelid") " - " HIT("c.reltoastrelid"), "Disk blocks read from this table's TOAST table"),
    COUNTER("toast_blocks_hit", HIT("c.reltoastrelid"), "Buffer hits in this table's TOAST table"),
    COUNTER("tidx_blocks_read", "x.fetched - x.hit", "Disk blocks read from the indexes of this table's TOAST table"),
    COUNTER("tidx_blocks_hit", "x.hit", "Buffer hits in the indexes of this table's TOAST table"),
    END};

#define INDEX_BLOCKS \
    "(SELECT p.indrelid, " SUM("p.fetched") " AS fetched, " SUM("p.hit") " AS hit FROM (SELECT indrelid, " \
    FETCHED("indexrelid") " AS fetched, " HIT("indexrelid") " AS hit FROM pg_catalog.pg_index OFFSET 0) p GROUP BY p.indrelid)"

/* What the view pg_stat_user_tables shows.  Reading pg_class and calling the statistics functions costs a quarter of it. */
#define USER_TABLES(kinds) \
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace " \
    "WHERE c.relkind = ANY (" kinds "::pg_catalog.\"char\"[]) AND n.nspname <> ALL (ARRAY['pg_catalog', 'information_schema']) " \
    "AND n.nspname !~ '^pg_toast'"

const struct query queries_relations[] = {
    {.group = "user_tables", .prefix = "pg_stat_user_tables_", .columns = table_columns,
     .from = "FROM pg_catalog.pg_class c LEFT JOIN (SELECT p.indrelid, " SUM("p.scans") " AS scans, " SUM("p.fetched") " AS fetched "
             "FROM (SELECT indrelid, pg_catalog.pg_stat_get_numscans(indexrelid) AS scans, "
             "pg_catalog.pg_stat_get_tuples_fetched(indexrelid) AS fetched FROM pg_catalog.pg_index OFFSET 0) p "
             "GROUP BY p.indrelid) i ON i.indrelid = c.oid " USER_TABLES("'{r,t,m,p}'")},
    {.group = "user_table_sizes", .prefix = "pg_stat_user_tables_", .columns = table_size_columns,
     /* The size functions take a lock; tables that somebody has locked against all, or is about to, are left out. */
     .from = "FROM pg_catalog.pg_class c " USER_TABLES("'{r,t,m,p}'")
             " AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.relation = c.oid "
             "AND l.mode = 'AccessExclusiveLock')"},
    {.group = "statio_user_tables", .prefix = "pg_statio_user_tables_", .columns = table_io_columns,
     .from = "FROM pg_catalog.pg_class c "
             "LEFT JOIN " INDEX_BLOCKS " i ON i.indrelid = c.oid "
             "LEFT JOIN " INDEX_BLOCKS " x ON x.indrelid = c.reltoastrelid AND c.reltoastrelid <> 0 "
             USER_TABLES("'{r,t,m}'")},
    {.group = NULL}};
