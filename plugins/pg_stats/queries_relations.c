/* queries_relations.c - tables of each database; queries.h says what a row means. */
#include "query_relations.h"

static const struct query_column table_columns[] = {
    TABLE_LABELS,
    COUNTER("seq_scan", "pg_catalog.pg_stat_get_numscans(c.oid)", "Sequential scans on this table"),
    COUNTER("seq_tup_read", "pg_catalog.pg_stat_get_tuples_returned(c.oid)", "Live rows fetched by sequential scans"),
    COUNTER("idx_scan", "i.scans", "Index scans on this table"),
    COUNTER("idx_tup_fetch", "i.fetched + pg_catalog.pg_stat_get_tuples_fetched(c.oid)", "Live rows fetched by index scans"),
    COUNTER("n_tup_ins", "pg_catalog.pg_stat_get_tuples_inserted(c.oid)", "Rows inserted"),
    COUNTER("n_tup_upd", "pg_catalog.pg_stat_get_tuples_updated(c.oid)", "Rows updated"),
    COUNTER("n_tup_del", "pg_catalog.pg_stat_get_tuples_deleted(c.oid)", "Rows deleted"),
    COUNTER("n_tup_hot_upd", "pg_catalog.pg_stat_get_tuples_hot_updated(c.oid)", "Rows updated without a new index entry"),
    COUNTER("n_tup_newpage_upd", "pg_catalog.pg_stat_get_tuples_newpage_updated(c.oid)",
            "Rows updated whose new version went to another page", .min_version = 160000),
    GAUGE("n_live_tup", "pg_catalog.pg_stat_get_live_tuples(c.oid)", "Estimated live rows", .flags = COLUMN_RANK),
    GAUGE("n_dead_tup", "pg_catalog.pg_stat_get_dead_tuples(c.oid)", "Estimated dead rows"),
    GAUGE("n_mod_since_analyze", "pg_catalog.pg_stat_get_mod_since_analyze(c.oid)",
          "Estimated rows changed since the table was last analyzed"),
    REAL_GAUGE("last_vacuum", EPOCH("pg_catalog.pg_stat_get_last_vacuum_time(c.oid)"), "Time of the last manual vacuum",
               .flags = COLUMN_MAX),
    REAL_GAUGE("last_autovacuum", EPOCH("pg_catalog.pg_stat_get_last_autovacuum_time(c.oid)"), "Time of the last autovacuum",
               .flags = COLUMN_MAX),
    REAL_GAUGE("last_analyze", EPOCH("pg_catalog.pg_stat_get_last_analyze_time(c.oid)"), "Time of the last manual analyze",
               .flags = COLUMN_MAX),
    REAL_GAUGE("last_autoanalyze", EPOCH("pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)"),
               "Time of the last automatic analyze", .flags = COLUMN_MAX),
    COUNTER("vacuum_count", "pg_catalog.pg_stat_get_vacuum_count(c.oid)", "Manual vacuums"),
    COUNTER("autovacuum_count", "pg_catalog.pg_stat_get_autovacuum_count(c.oid)", "Automatic vacuums"),
    COUNTER("analyze_count", "pg_catalog.pg_stat_get_analyze_count(c.oid)", "Manual analyzes"),
    COUNTER("autoanalyze_count", "pg_catalog.pg_stat_get_autoanalyze_count(c.oid)", "Automatic analyzes"),
    END};

/* Sums over the indexes of one relation.  By the index on pg_index: with many tables this costs what one pass over pg_index and
 * a hash would, with few it costs less. */
#define OVER_INDEXES(relation, sums, values) \
    "LEFT JOIN LATERAL (SELECT " sums " FROM (SELECT " values " FROM pg_catalog.pg_index y WHERE y.indrelid = " relation \
    " OFFSET 0) p) "

static const struct query_column maintenance_columns[] = {
    TABLE_LABELS,
    REAL_GAUGE("pg_table_vacuum_ratio", "pg_catalog.pg_stat_get_dead_tuples(c.oid) / NULLIF(t.vacuum, 0)",
               "Dead rows as a share of the number at which autovacuum vacuums this table: above 1 it is due",
               .flags = COLUMN_FULL_NAME | COLUMN_OPTIONAL | COLUMN_RANK | COLUMN_MAX),
    REAL_GAUGE("pg_table_vacuum_threshold", "t.vacuum",
               "Dead rows at which autovacuum vacuums this table, by its own options or the server's",
               .flags = COLUMN_FULL_NAME | COLUMN_OPTIONAL | COLUMN_MAX),
    REAL_GAUGE("pg_table_vacuum_insert_ratio",
               "pg_catalog.pg_stat_get_ins_since_vacuum(c.oid) / NULLIF(t.insert_base + t.insert_scale, 0)",
               "Rows inserted since the last vacuum as a share of the number at which autovacuum vacuums this table for that",
               .flags = COLUMN_FULL_NAME | COLUMN_OPTIONAL | COLUMN_MAX, .end_version = 180000),
    REAL_GAUGE("pg_table_vacuum_insert_ratio",
               "pg_catalog.pg_stat_get_ins_since_vacuum(c.oid) / NULLIF(t.insert_base + t.insert_scale "
               "* CASE WHEN c.relpages > 0 THEN 1 - least(c.relallfrozen::pg_catalog.float8 / c.relpages, 1) ELSE 1 END, 0)",
               "Rows inserted since the last vacuum as a share of the number at which autovacuum vacuums this table for that",
               .flags = COLUMN_FULL_NAME | COLUMN_OPTIONAL | COLUMN_MAX, .min_version = 180000),
    REAL_GAUGE("pg_table_analyze_ratio", "pg_catalog.pg_stat_get_mod_since_analyze(c.oid) / NULLIF(t.analyze, 0)",
               "Rows changed since the last analyze as a share of the number at which autovacuum analyzes this table",
               .flags = COLUMN_FULL_NAME | COLUMN_OPTIONAL | COLUMN_MAX),
    GAUGE("pg_table_autovacuum_disabled", "CASE WHEN NOT r.enabled THEN 1::pg_catalog.int8 END",
          "1 where autovacuum_enabled is off for this table; else not there", .flags = COLUMN_FULL_NAME | COLUMN_OPTIONAL),
    GAUGE("n_ins_since_vacuum", "pg_catalog.pg_stat_get_ins_since_vacuum(c.oid)", "Estimated rows inserted since the last vacuum"),
    REAL_GAUGE("last_seq_scan", "pg_catalog.date_part('epoch', pg_catalog.pg_stat_get_lastscan(c.oid))",
               "Time of the last sequential scan", .flags = COLUMN_OPTIONAL | COLUMN_MAX, .min_version = 160000),
    REAL_GAUGE("last_idx_scan",
               "(SELECT pg_catalog.date_part('epoch', pg_catalog.max(pg_catalog.pg_stat_get_lastscan(y.indexrelid))) "
               "FROM pg_catalog.pg_index y WHERE y.indrelid = c.oid)",
               "Time of the last index scan", .flags = COLUMN_OPTIONAL | COLUMN_MAX, .min_version = 160000),
    REAL_COUNTER("vacuum_seconds_total", "pg_catalog.pg_stat_get_total_vacuum_time(c.oid) / 1000", "Time spent in manual vacuums",
                 .min_version = 180000),
    REAL_COUNTER("autovacuum_seconds_total", "pg_catalog.pg_stat_get_total_autovacuum_time(c.oid) / 1000",
                 "Time spent in automatic vacuums", .min_version = 180000),
    REAL_COUNTER("analyze_seconds_total", "pg_catalog.pg_stat_get_total_analyze_time(c.oid) / 1000",
                 "Time spent in manual analyzes", .min_version = 180000),
    REAL_COUNTER("autoanalyze_seconds_total", "pg_catalog.pg_stat_get_total_autoanalyze_time(c.oid) / 1000",
                 "Time spent in automatic analyzes", .min_version = 180000),
    END};

#define SETTING(name) "pg_catalog.current_setting('autovacuum_" name "', true)::pg_catalog.float8"
#define RELOPTION(name, type) \
    "pg_catalog.max(CASE WHEN o.option_name = 'autovacuum_" name "' THEN o.option_value::pg_catalog." type " END)"
/* As autovacuum.c, relation_needs_vacanalyze, has it: an option of the table goes before the server's; -1 is "none"; of unknown
 * rows (-1) there are none; a partitioned table is left to its partitions.  What a version does not know is NULL,
 * which least() leaves out. */
#define THRESHOLDS \
    "CROSS JOIN (SELECT " SETTING("vacuum_threshold") " AS vacuum_base, " SETTING("vacuum_scale_factor") " AS vacuum_scale, " \
    SETTING("vacuum_max_threshold") " AS vacuum_max, " SETTING("vacuum_insert_threshold") " AS insert_base, " \
    SETTING("vacuum_insert_scale_factor") " AS insert_scale, " SETTING("analyze_threshold") " AS analyze_base, " \
    SETTING("analyze_scale_factor") " AS analyze_scale OFFSET 0) g " \
    "LEFT JOIN (SELECT z.oid, " RELOPTION("vacuum_threshold", "float8") " AS vacuum_base, " \
    RELOPTION("vacuum_scale_factor", "float8") " AS vacuum_scale, " RELOPTION("vacuum_max_threshold", "float8") " AS vacuum_max, " \
    RELOPTION("vacuum_insert_threshold", "float8") " AS insert_base, " \
    RELOPTION("vacuum_insert_scale_factor", "float8") " AS insert_scale, " \
    RELOPTION("analyze_threshold", "float8") " AS analyze_base, " \
    RELOPTION("analyze_scale_factor", "float8") " AS analyze_scale, " \
    RELOPTION("enabled", "bool::pg_catalog.int4") " = 1 AS enabled " \
    "FROM pg_catalog.pg_class z CROSS JOIN LATERAL pg_catalog.pg_options_to_table(z.reloptions) o " \
    "WHERE z.reloptions IS NOT NULL AND z.relkind = ANY ('{r,m}'::pg_catalog.\"char\"[]) GROUP BY z.oid) r ON r.oid = c.oid " \
    "LEFT JOIN LATERAL (SELECT " \
    "least(coalesce(r.vacuum_base, g.vacuum_base) + coalesce(r.vacuum_scale, g.vacuum_scale) * greatest(c.reltuples, 0), " \
    "NULLIF(coalesce(r.vacuum_max, g.vacuum_max), -1)) AS vacuum, " \
    "NULLIF(coalesce(r.insert_base, g.insert_base), -1) AS insert_base, " \
    "coalesce(r.insert_scale, g.insert_scale) * greatest(c.reltuples, 0) AS insert_scale, " \
    "coalesce(r.analyze_base, g.analyze_base) + coalesce(r.analyze_scale, g.analyze_scale) * greatest(c.reltuples, 0) " \
    "AS analyze WHERE c.relkind <> 'p' OFFSET 0) t ON true "

static const struct query_column table_size_columns[] = {
    LABEL("datname", DATABASE),
    LABEL("schemaname", "s.nspname"),
    FOLDED("relname", "s.relname"),
    GAUGE("index_size_bytes", "s.index_size", "Disk space used by the table's indexes", .flags = COLUMN_KEPT),
    GAUGE("table_size_bytes", "s.table_size", "Disk space used by the table with its TOAST, without its indexes",
          .flags = COLUMN_KEPT),
    GAUGE("pg_table_total_size_bytes", "s.table_size + s.index_size", "Disk space used by the table with its TOAST and indexes",
          .flags = COLUMN_FULL_NAME | COLUMN_KEPT | COLUMN_RANK),
    GAUGE("pg_table_toast_size_bytes", "s.toast_size", "Disk space used by the rows of the table's TOAST table",
          .flags = COLUMN_FULL_NAME | COLUMN_KEPT),
    REAL_GAUGE("pg_class_reltuples", "NULLIF(s.reltuples, -1)::pg_catalog.float8",
               "Live rows, as the last vacuum or analyze estimated", .flags = COLUMN_FULL_NAME | COLUMN_OPTIONAL),
    GAUGE("pg_class_relpages", "s.relpages::pg_catalog.int8", "Pages of the table, as of the last vacuum or analyze",
          .flags = COLUMN_FULL_NAME),
    MARK("s.oid::pg_catalog.int8", .min_version = 150000),
    MARK("CASE WHEN s.free THEN CASE WHEN s.unsteady THEN 0 ELSE s.sign END END::pg_catalog.int8", .min_version = 150000),
    END};

/* Sizes of the relations f that may, and are to, be asked for: their functions lock the table, its TOAST table and the indexes of both. */
#define TABLE_SIZES(wanted) \
    "CASE WHEN f." wanted " THEN pg_catalog.pg_table_size(f.oid) END AS table_size, " \
    "CASE WHEN f." wanted " THEN pg_catalog.pg_indexes_size(f.oid) END AS index_size, " \
    "CASE WHEN f.reltoastrelid = 0 THEN 0 WHEN f." wanted " THEN pg_catalog.pg_relation_size(f.reltoastrelid) END AS toast_size "

/* What changes when the size of a table, its TOAST or its indexes may have changed: the server counts rows and vacuums, files get new
 * numbers when they are written anew.  A table with another name is another row, which knows nothing of this one.  That all counters began again would change it too, and so does every hour, each table at
 * its own minute: should anything have been missed, that is how long it lasts. */
#define CHANGES(oid) \
    "pg_catalog.pg_stat_get_tuples_inserted(" oid ") + pg_catalog.pg_stat_get_tuples_updated(" oid ") + " \
    "pg_catalog.pg_stat_get_tuples_deleted(" oid ") + pg_catalog.pg_stat_get_vacuum_count(" oid ") + " \
    "pg_catalog.pg_stat_get_autovacuum_count(" oid ") + pg_catalog.pg_stat_get_analyze_count(" oid ") + " \
    "pg_catalog.pg_stat_get_autoanalyze_count(" oid ")"
#define BEGAN(e) "coalesce((1000 * pg_catalog.date_part('epoch', " e "))::pg_catalog.int8, 0)"
#define SIGN \
    "pg_catalog.hashint8(pg_catalog.hashint8extended(pg_catalog.hashint8extended(" CHANGES("c.oid") \
    " + CASE WHEN c.reltoastrelid = 0 THEN 0 ELSE " CHANGES("c.reltoastrelid") " END, " \
    "c.relfilenode::pg_catalog.int8 + coalesce(i.files, 0) + pg_catalog.hashname(c.relname)), " \
    "b.began + pg_catalog.hashname(n.nspname) + (b.now + c.oid::pg_catalog.int8 % 3600) / 3600))"
/* Who writes to a table has not counted yet, and holds a lock.  A standby counts nothing, nor need other than heaps. */
#define UNSTEADY \
    "c.oid IN (SELECT oid FROM held) OR c.reltoastrelid IN (SELECT oid FROM held) OR b.uncounted " \
    "OR c.relam <> ALL ('{0,2}'::pg_catalog.oid[])"
#define TABLES_WITH_SIGNS \
    "WITH locks AS MATERIALIZED (SELECT l.relation AS oid, pg_catalog.bool_or(l.mode = 'AccessExclusiveLock') AS shut " \
    "FROM pg_catalog.pg_locks l WHERE l.mode <> ALL (ARRAY['AccessShareLock', 'RowShareLock']) AND l.relation IS NOT NULL " \
    "AND l.database = " THIS_DATABASE " GROUP BY 1), " \
    "held AS MATERIALIZED (SELECT u.oid, pg_catalog.bool_or(u.shut) AS shut FROM (SELECT l.oid, l.shut FROM locks l UNION ALL " \
    "SELECT y.indrelid, l.shut FROM locks l JOIN pg_catalog.pg_index y ON y.indexrelid = l.oid) u GROUP BY 1) " \
    "SELECT n.nspname, c.relname, c.oid, c.reltoastrelid, c.reltuples, c.relpages, " \
    "NOT (c.oid IN (SELECT oid FROM held WHERE shut) OR c.reltoastrelid IN (SELECT oid FROM held WHERE shut)) AS free, " \
    UNSTEADY " AS unsteady, " SIGN " AS sign FROM pg_catalog.pg_class c " \
    "CROSS JOIN (SELECT pg_catalog.pg_is_in_recovery() OR NOT pg_catalog.current_setting('track_counts')::pg_catalog.bool AS uncounted, " \
    "pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.statement_timestamp()))::pg_catalog.int8 AS now, " \
    BEGAN("pg_catalog.pg_postmaster_start_time()") " + " BEGAN("pg_catalog.pg_stat_get_bgwriter_stat_reset_time()") " + " \
    BEGAN("pg_catalog.pg_stat_get_db_stat_reset_time(" THIS_DATABASE ")") " AS began OFFSET 0) b " \
    "LEFT JOIN LATERAL (SELECT pg_catalog.sum(pg_catalog.hashoid(x.relfilenode)) AS files FROM pg_catalog.pg_index y " \
    "JOIN pg_catalog.pg_class x ON x.oid = y.indexrelid WHERE y.indrelid = c.oid OFFSET 0) i ON true " USER_TABLES("'{r,t,m,p}'")

static const struct query_column freeze_columns[] = {
    TABLE_LABELS,
    GAUGE("relfrozenxid_age", "a.xid_age", "Transactions since the oldest xid that may be left unfrozen in the table or its TOAST",
          .flags = COLUMN_RANK | COLUMN_MAX),
    GAUGE("relminmxid_age", "a.mxid_age", "Multixacts since the oldest one that may be left in the table or its TOAST",
          .flags = COLUMN_MAX),
    END};

#define FETCHED(oid) "pg_catalog.pg_stat_get_blocks_fetched(" oid ")"
#define HIT(oid) "pg_catalog.pg_stat_get_blocks_hit(" oid ")"
static const struct query_column table_io_columns[] = {
    TABLE_LABELS,
    COUNTER("heap_blocks_read", FETCHED("c.oid") " - " HIT("c.oid"), "Disk blocks read from this table"),
    COUNTER("heap_blocks_hit", HIT("c.oid"), "Buffer hits in this table", .flags = COLUMN_RANK),
    COUNTER("idx_blocks_read", "i.fetched - i.hit", "Disk blocks read from all indexes on this table"),
    COUNTER("idx_blocks_hit", "i.hit", "Buffer hits in all indexes on this table"),
    COUNTER("toast_blocks_read", FETCHED("c.reltoastrelid") " - " HIT("c.reltoastrelid"),
            "Disk blocks read from this table's TOAST table"),
    COUNTER("toast_blocks_hit", HIT("c.reltoastrelid"), "Buffer hits in this table's TOAST table"),
    COUNTER("tidx_blocks_read", "x.fetched - x.hit", "Disk blocks read from the indexes of this table's TOAST table"),
    COUNTER("tidx_blocks_hit", "x.hit", "Buffer hits in the indexes of this table's TOAST table"),
    END};
#define INDEX_BLOCKS(relation) \
    OVER_INDEXES(relation, SUM("p.fetched") " AS fetched, " SUM("p.hit") " AS hit", \
                 FETCHED("y.indexrelid") " AS fetched, " HIT("y.indexrelid") " AS hit")

const struct query queries_relations[] = {
    {.group = "user_tables", .collector = "stat_user_tables", .prefix = "pg_stat_user_tables_", .columns = table_columns,
     .from = "FROM pg_catalog.pg_class c "
             OVER_INDEXES("c.oid", SUM("p.scans") " AS scans, " SUM("p.fetched") " AS fetched",
                          "pg_catalog.pg_stat_get_numscans(y.indexrelid) AS scans, "
                          "pg_catalog.pg_stat_get_tuples_fetched(y.indexrelid) AS fetched") "i ON true "
             USER_TABLES("'{r,t,m,p}'"),
     .scope = QUERY_DATABASE, .limit = LIMIT_TABLES, .priority = 5,
     .about = "How each table is read, written, vacuumed and analyzed; about 4 µs of the server's time per table."},
    {.group = "user_table_sizes", .fills = true, .collector = "stat_user_tables", .prefix = "pg_stat_user_tables_",
     .columns = table_size_columns,
     .from = "FROM (SELECT f.*, " TABLE_SIZES("free")
             "FROM (WITH locked AS MATERIALIZED (" LOCKED "), busy AS MATERIALIZED (SELECT oid FROM locked UNION ALL "
             "SELECT i.indrelid FROM locked JOIN pg_catalog.pg_index i ON i.indexrelid = locked.oid) "
             "SELECT n.nspname, c.relname, c.oid, c.reltoastrelid, c.reltuples, c.relpages, "
             "NOT (c.oid IN (SELECT oid FROM busy) OR c.reltoastrelid IN (SELECT oid FROM busy)) AS free "
             "FROM pg_catalog.pg_class c " USER_TABLES("'{r,t,m,p}'") " OFFSET 0) f OFFSET 0) s",
     .end_version = 150000, .scope = QUERY_DATABASE, .limit = LIMIT_TABLES, .priority = 7, .interval_s = 300,
     .about = "Exact sizes: the server asks the file system for each fork of each relation.  With two indexes and TOAST "
              "that takes 35 µs per table, two to three times that in a new session, and 15 kB of its memory until it ends.  "
              "From 15 on a primary is asked only for tables that were written to, vacuumed or made anew since they were asked for "
              "last, or that somebody has locked for that now, and for each of them once an hour; the others cost a "
              "quarter of that.  "
              "Of a table that is locked against all the last sizes stay."},
    {.group = "user_table_sizes", .fills = true, .collector = "stat_user_tables", .prefix = "pg_stat_user_tables_",
     .columns = table_size_columns, .use = USE_SIZES, .min_version = 150000,
     .from = "FROM (SELECT f.*, " TABLE_SIZES("wanted")
             "FROM (SELECT g.*, g.free AND (g.unsteady OR k.sign IS DISTINCT FROM g.sign) AS wanted "
             "FROM (" TABLES_WITH_SIGNS " OFFSET 0) g LEFT JOIN " KNOWN_RELATIONS " k (oid, sign) ON k.oid = g.oid OFFSET 0) f OFFSET 0) s",
     .scope = QUERY_DATABASE, .limit = LIMIT_TABLES, .priority = 7, .interval_s = 300},
    {.group = "statio_user_tables", .collector = "statio_user_tables", .prefix = "pg_statio_user_tables_",
     .columns = table_io_columns,
     .from = "FROM pg_catalog.pg_class c " INDEX_BLOCKS("c.oid") "i ON true " INDEX_BLOCKS("c.reltoastrelid") "x ON true "
             USER_TABLES("'{r,t,m}'"),
     .scope = QUERY_DATABASE, .limit = LIMIT_TABLES, .priority = 5,
     .about = "Blocks of each table found in the buffer cache or read; about 6 µs of the server's time per table."},
    {.group = "user_table_maintenance", .prefix = "pg_stat_user_tables_", .columns = maintenance_columns,
     .from = "FROM pg_catalog.pg_class c " THRESHOLDS USER_TABLES("'{r,m,p}'"),
     .scope = QUERY_DATABASE, .limit = LIMIT_TABLES, .priority = 5, .interval_s = 60,
     .about = "Which tables autovacuum should have vacuumed or analyzed by now, with the tables' own options; scans by time."},
    {.group = "table_freeze", .prefix = "pg_class_", .columns = freeze_columns,
     .from = "FROM (SELECT coalesce(m.oid, v.oid) AS oid, pg_catalog.max(v.xid_age)::pg_catalog.int8 AS xid_age, "
             "pg_catalog.max(v.mxid_age)::pg_catalog.int8 AS mxid_age "
             "FROM (WITH ages AS MATERIALIZED (SELECT z.oid, pg_catalog.age(z.relfrozenxid) AS xid_age, "
             "pg_catalog.mxid_age(z.relminmxid) AS mxid_age FROM pg_catalog.pg_class z "
             "WHERE z.relkind = ANY ('{r,t,m}'::pg_catalog.\"char\"[]) AND z.relfrozenxid <> '0'::pg_catalog.xid) "
             "(SELECT * FROM ages ORDER BY xid_age DESC, oid LIMIT 10) UNION "
             "(SELECT * FROM ages ORDER BY mxid_age DESC, oid LIMIT 10)) v "
             "LEFT JOIN pg_catalog.pg_class m ON m.reltoastrelid = v.oid GROUP BY 1) a "
             "JOIN pg_catalog.pg_class c ON c.oid = a.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace",
     .scope = QUERY_DATABASE, .limit = LIMIT_TABLES, .priority = 6, .interval_s = 300,
     .about = "The tables, system catalogs included, that hold back wraparound most: the ten oldest by xid and by multixact."},
    {.group = NULL}};
