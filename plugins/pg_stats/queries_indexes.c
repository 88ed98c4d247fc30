/* queries_indexes.c - indexes of each database; queries.h says what a row means. */
#include "query_relations.h"

static const struct query_column index_columns[] = {
    INDEX_LABELS,
    COUNTER("idx_scan_total", "pg_catalog.pg_stat_get_numscans(x.oid)", "Scans of this index", .flags = COLUMN_RANK),
    COUNTER("idx_tup_read_total", "pg_catalog.pg_stat_get_tuples_returned(x.oid)", "Entries returned by scans of this index"),
    COUNTER("idx_tup_fetch_total", "pg_catalog.pg_stat_get_tuples_fetched(x.oid)",
            "Live rows fetched from the table by simple scans of this index"),
    REAL_GAUGE("last_idx_scan", "pg_catalog.date_part('epoch', pg_catalog.pg_stat_get_lastscan(x.oid))",
               "Time of the last scan of this index", .flags = COLUMN_OPTIONAL | COLUMN_MAX, .min_version = 160000),
    END};

static const struct query_column index_io_columns[] = {
    INDEX_LABELS,
    COUNTER("idx_blks_read_total", "pg_catalog.pg_stat_get_blocks_fetched(x.oid) - pg_catalog.pg_stat_get_blocks_hit(x.oid)",
            "Disk blocks read from this index"),
    COUNTER("idx_blks_hit_total", "pg_catalog.pg_stat_get_blocks_hit(x.oid)", "Buffer hits in this index", .flags = COLUMN_RANK),
    END};

static const struct query_column index_size_columns[] = {
    INDEX_LABELS,
    GAUGE("size_bytes", "CASE WHEN NOT x.oid IN (" LOCKED ") THEN pg_catalog.pg_relation_size(x.oid) END",
          "Disk space used by this index", .flags = COLUMN_KEPT | COLUMN_RANK),
    END};

static const struct query_column problem_columns[] = {
    LABEL("datname", DATABASE),
    LABEL("schemaname", "s.nspname"),
    FOLDED("relname", "s.relname"),
    FOLDED("indexrelname", "s.indexrelname"),
    LABEL("problem", "s.problem"),
    GAUGE("problem", "1::pg_catalog.int8",
          "1: no scan since statistics began (unused), another index does all that this one does (redundant), or queries do "
          "not use it because it was not built to the end (invalid)"),
    GAUGE("problem_bytes", "s.bytes", "Size of that index, as of the last vacuum or analyze", .flags = COLUMN_RANK),
    END};

/* All that an index is, as texts of the catalog: pg_get_indexdef and pg_get_expr would lock the table.  Until version 17 an
 * expression says where in its statement each part stood. */
#define WITHOUT_LOCATION(e) "coalesce(pg_catalog.regexp_replace(" e "::pg_catalog.text, ':location -?[0-9]+', '', 'g'), '')"
#define KEYS \
    "SELECT n.nspname, c.relname, x.relname AS indexrelname, x.oid, i.indrelid, x.relam, x.relispartition, " \
    "x.relpages * " BLOCK_SIZE " AS bytes, i.indisvalid AND i.indisready AND i.indislive AS usable, " \
    "i.indisprimary OR i.indisreplident OR i.indisexclusion AS protected, i.indisvalid, i.indisunique, i.indimmediate, " \
    "i.indnatts, i.indnkeyatts, i.indkey::pg_catalog.text || ' ' AS columns, i.indclass::pg_catalog.text || ' ' AS classes, " \
    "i.indcollation::pg_catalog.text || ' ' AS collations, i.indoption::pg_catalog.text || ' ' AS options, " \
    WITHOUT_LOCATION("i.indexprs") " AS expressions, " WITHOUT_LOCATION("i.indpred") " AS predicate " \
    "FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid " \
    "JOIN pg_catalog.pg_class c ON c.oid = i.indrelid " USER_TABLES("'{r,m,p}'")

#define UNUSED \
    "SELECT k.oid FROM keys k WHERE k.usable AND NOT k.protected AND NOT k.indisunique AND k.bytes >= 1048576 " \
    "AND pg_catalog.pg_stat_get_numscans(k.oid) = 0 " \
    /* Of a partitioned index, all parts or none. */ \
    "AND CASE WHEN k.relispartition THEN pg_catalog.pg_partition_root(k.oid)::pg_catalog.oid NOT IN " \
    "(SELECT coalesce(pg_catalog.pg_partition_root(l.oid)::pg_catalog.oid, '0') FROM keys l " /* NULL: gone by now */ \
    "WHERE l.relispartition AND pg_catalog.pg_stat_get_numscans(l.oid) > 0) ELSE true END"

/* `a` is redundant beside `b`, whose first columns are its own.  What enforces uniqueness is redundant only beside what does too;
 * with INCLUDE, only beside one with the same columns.  Of two that are redundant beside one another the older one stays. */
#define LEADS(column) "pg_catalog.starts_with(b." column ", a." column ")"
#define NULLS(oid) \
    "(SELECT pg_catalog.to_jsonb(y) ->> 'indnullsnotdistinct' FROM pg_catalog.pg_index y WHERE y.indexrelid = " oid ")"
#define REDUNDANT \
    "SELECT a.oid FROM keys a JOIN keys b ON b.indrelid = a.indrelid AND b.relam = a.relam AND b.predicate = a.predicate " \
    "WHERE a.usable AND b.usable AND a.oid <> b.oid AND NOT a.protected AND a.bytes >= 1048576 AND " LEADS("columns") \
    " AND " LEADS("classes") " AND " LEADS("collations") " AND " LEADS("options") \
    " AND a.expressions = ANY (ARRAY['', b.expressions]) " \
    "AND CASE WHEN a.columns = b.columns AND a.indnkeyatts = b.indnkeyatts THEN CASE " \
    "WHEN NOT a.indisunique AND b.indisunique THEN true " \
    "WHEN a.indisunique AND NOT (b.indisunique AND b.indimmediate AND " NULLS("a.oid") " IS NOT DISTINCT FROM " NULLS("b.oid") \
    ") THEN false " \
    "ELSE b.protected OR b.oid < a.oid OR a.indisunique AND NOT a.indimmediate END " \
    "ELSE NOT a.indisunique AND a.indnatts = a.indnkeyatts AND (a.indnkeyatts = b.indnkeyatts OR a.indnkeyatts < b.indnkeyatts " \
    "AND a.relam = (SELECT m.oid FROM pg_catalog.pg_am m WHERE m.amname = 'btree')) END"

/* One that is being built is not invalid yet. */
#define INVALID \
    "SELECT k.oid FROM keys k WHERE NOT k.indisvalid AND NOT k.oid IN (SELECT y.index_relid " \
    "FROM pg_catalog.pg_stat_progress_create_index y WHERE y.index_relid IS NOT NULL)"

const struct query queries_indexes[] = {
    {.group = "user_indexes", .prefix = "pg_stat_user_indexes_", .columns = index_columns, .from = USER_INDEXES,
     .scope = QUERY_DATABASE, .limit = LIMIT_INDEXES, .priority = 6, .off = true,
     .about = "How often each index is used."},
    {.group = "statio_user_indexes", .collector = "statio_user_indexes", .prefix = "pg_statio_user_indexes_",
     .columns = index_io_columns, .from = USER_INDEXES,
     .scope = QUERY_DATABASE, .limit = LIMIT_INDEXES, .priority = 6, .off = true,
     .about = "Blocks of each index found in the buffer cache or read."},
    {.group = "user_index_sizes", .fills = true, .prefix = "pg_index_", .columns = index_size_columns, .from = USER_INDEXES,
     .scope = QUERY_DATABASE, .limit = LIMIT_INDEXES, .priority = 7, .interval_s = 300, .off = true,
     .about = "Exact size of each index; of one that is locked against all the last size stays."},
    {.group = "index_problems", .prefix = "pg_index_", .columns = problem_columns,
     .from = "FROM (WITH keys AS MATERIALIZED (" KEYS ") SELECT k.*, p.problem FROM keys k JOIN ("
             "SELECT u.oid, 'unused' AS problem FROM (" UNUSED ") u UNION SELECT r.oid, 'redundant' FROM (" REDUNDANT ") r "
             "UNION SELECT v.oid, 'invalid' FROM (" INVALID ") v) p ON p.oid = k.oid OFFSET 0) s",
     .scope = QUERY_DATABASE, .limit = LIMIT_INDEXES, .priority = 7, .interval_s = 600,
     .about = "Indexes from 1 MiB that cost more than they give, and all invalid ones; their sum by problem is the "
              "database's.  Look at pg_stat_database_stats_reset, and at the standbys, before an unused one is dropped."},
    {.group = NULL}};
