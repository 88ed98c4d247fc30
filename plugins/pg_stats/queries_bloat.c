/* queries_bloat.c - how much larger tables and btree indexes are than their rows need; queries.h says what a row means.
 *
 * Estimates, from the numbers of pages and rows that the last vacuum or analyze left in pg_class, so nothing is locked or
 * read: rows of average width, filled up to the fillfactor, and what is beyond that.  The width of a column is that of its type
 * where this is fixed; else it is that of pg_stats, which shows only what the role may read: to one with pg_monitor alone,
 * nothing of users' tables.  What has a column of unknown width is left out.
 *
 * Sources of the arithmetic: PostgreSQL documentation, "Database Page Layout"; src/include/access/{htup_details,itup,nbtree}.h.
 */
#include "query_relations.h"

#define SMALLEST "1048576 / " BLOCK_SIZE
#define FILLFACTOR(relation, or_else) \
    "coalesce((SELECT o.option_value::pg_catalog.float8 FROM pg_catalog.pg_options_to_table(" relation ".reloptions) o " \
    "WHERE o.option_name = 'fillfactor'), " or_else ") / 100"
#define ALIGNED(bytes) "pg_catalog.ceil((" bytes ") / 8.0::pg_catalog.float8) * 8"
/* Sums over the columns of relations, oid by oid.  `columns` gives of each the oid, the schema, table and name by which pg_stats
 * knows it, its length and NOT NULL.  They meet their statistics in one sort: the planner takes pg_stats for small, and a join
 * of its choice may go through all of it for each column.  Without statistics whatever may be NULL has both its width and a bit
 * that says so: then the bloat is at least what is shown. */
#define WIDTHS(columns) \
    "(SELECT a.oid, pg_catalog.count(*) AS columns, " \
    "pg_catalog.sum(CASE WHEN a.length > 0 THEN a.length ELSE a.avg_width END * (1 - coalesce(a.null_frac, 0))) AS width, " \
    "pg_catalog.bool_or(a.length < 0 AND a.avg_width IS NULL) AS unknown, " \
    "pg_catalog.bool_or(coalesce(a.null_frac > 0, NOT a.not_null)) AS nulls " \
    "FROM (SELECT u.oid, u.length, u.not_null, pg_catalog.max(u.avg_width) OVER w AS avg_width, " \
    "pg_catalog.max(u.null_frac) OVER w AS null_frac FROM (" columns " UNION ALL SELECT NULL, schemaname, tablename, attname, " \
    "NULL, NULL, avg_width, null_frac FROM pg_catalog.pg_stats WHERE NOT inherited) AS u (oid, nspname, relname, attname, " \
    "length, not_null, avg_width, null_frac) WINDOW w AS (PARTITION BY u.nspname, u.relname, u.attname)) a " \
    "WHERE a.oid IS NOT NULL GROUP BY a.oid) w "

static const struct query_column table_columns[] = {
    LABEL("datname", DATABASE),
    LABEL("schemaname", "s.nspname"),
    FOLDED("relname", "s.relname"),
    GAUGE("bloat_bytes", "greatest(s.relpages - s.needed, 0)::pg_catalog.int8 * " BLOCK_SIZE,
          "Estimated size of the table, without TOAST, beyond what its rows need", .flags = COLUMN_RANK),
    REAL_GAUGE("bloat_ratio", "greatest(s.relpages - s.needed, 0) / s.relpages", "The same as a share of its size",
               .flags = COLUMN_MAX),
    END};

static const struct query_column index_columns[] = {
    LABEL("datname", DATABASE),
    LABEL("schemaname", "s.nspname"),
    FOLDED("relname", "s.relname"),
    FOLDED("indexrelname", "s.indexrelname"),
    GAUGE("bloat_bytes", "greatest(s.relpages - s.needed, 0)::pg_catalog.int8 * " BLOCK_SIZE,
          "Estimated size of the btree index beyond what its entries need; less than it is where equal keys share an entry",
          .flags = COLUMN_RANK),
    REAL_GAUGE("bloat_ratio", "greatest(s.relpages - s.needed, 0) / s.relpages", "The same as a share of its size",
               .flags = COLUMN_MAX),
    END};

const struct query queries_bloat[] = {
    {.group = "table_bloat", .prefix = "pg_table_", .columns = table_columns,
     .from = "FROM (SELECT r.nspname, r.relname, r.relpages::pg_catalog.float8 AS relpages, "
             "pg_catalog.ceil(r.reltuples / greatest(pg_catalog.floor((" BLOCK_SIZE " - 24) * r.fillfactor "
             /* A row: its header, a bit per column if any is NULL, the columns, and the pointer to it. */
             "/ (" ALIGNED("23 + CASE WHEN r.nulls THEN (r.columns + 7) / 8 ELSE 0 END") " + " ALIGNED("r.width")
             " + 4)), 1)) AS needed "
             "FROM (SELECT n.nspname, c.relname, c.relpages, c.reltuples, w.*, " FILLFACTOR("c", "100") " AS fillfactor "
             "FROM " WIDTHS("SELECT c.oid, n.nspname, c.relname, a.attname, a.attlen, a.attnotnull, NULL::pg_catalog.int4, "
                            "NULL::pg_catalog.float4 FROM pg_catalog.pg_class c "
                            "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_attribute a "
                            "ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
                            "WHERE c.relkind = ANY ('{r,m}'::pg_catalog.\"char\"[]) AND c.reltuples > 0 "
                            "AND c.relpages >= " SMALLEST)
             "JOIN pg_catalog.pg_class c ON c.oid = w.oid "
             USER_TABLES("'{r,m}'") " AND NOT w.unknown) r) s",
     .scope = QUERY_DATABASE, .limit = LIMIT_TABLES, .priority = 8, .interval_s = 3600, .off = true,
     .about = "Estimated bloat of tables from 1 MiB, as of their last vacuum or analyze.  Of a table that the role may not "
              "read only if all its columns have a fixed width: pg_monitor does not give the statistics of columns, "
              "pg_read_all_data does.  Costs about 20 µs per table of any size."},
    {.group = "index_bloat", .prefix = "pg_index_", .columns = index_columns,
     .from = "FROM (SELECT t.nspname, t.relname, t.indexrelname, t.relpages::pg_catalog.float8 AS relpages, "
             /* The leaves, what is above them, and the meta page. */
             "1 + t.leaves + pg_catalog.ceil(t.leaves / greatest(t.per_page - 1, 1)) AS needed "
             "FROM (SELECT r.*, pg_catalog.ceil(r.reltuples / r.per_page) AS leaves "
             "FROM (SELECT n.nspname, c.relname, x.relname AS indexrelname, x.relpages, x.reltuples, "
             /* Without the page's header, its special space, and the high key.  An entry: its header, the columns, the pointer. */
             "greatest(pg_catalog.floor((" BLOCK_SIZE " - 24 - 16) * " FILLFACTOR("x", "90")
             " / (" ALIGNED("CASE WHEN w.nulls THEN 16 ELSE 8 END + w.width") " + 4)) - 1, 1) AS per_page "
             "FROM " WIDTHS("SELECT x.oid, n.nspname, CASE WHEN k.attnum IS NULL THEN x.relname ELSE c.relname END, "
                            "coalesce(k.attname, a.attname), a.attlen, coalesce(k.attnotnull, false), NULL::pg_catalog.int4, "
                            "NULL::pg_catalog.float4 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid "
                            "JOIN pg_catalog.pg_class c ON c.oid = i.indrelid "
                            "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
                            "JOIN pg_catalog.pg_attribute a ON a.attrelid = x.oid LEFT JOIN pg_catalog.pg_attribute k "
                            "ON k.attrelid = c.oid AND k.attnum = i.indkey[a.attnum - 1] AND k.attnum <> 0 WHERE x.relkind = 'i' "
                            "AND x.relam = (SELECT m.oid FROM pg_catalog.pg_am m WHERE m.amname = 'btree') "
                            "AND x.reltuples > 0 AND x.relpages >= " SMALLEST)
             "JOIN pg_catalog.pg_class x ON x.oid = w.oid JOIN pg_catalog.pg_index i ON i.indexrelid = x.oid "
             "JOIN pg_catalog.pg_class c ON c.oid = i.indrelid "
             USER_TABLES("'{r,m}'") " AND NOT w.unknown) r) t) s",
     .scope = QUERY_DATABASE, .limit = LIMIT_INDEXES, .priority = 8, .interval_s = 3600, .off = true,
     .about = "Estimated bloat of btree indexes from 1 MiB; of those on columns without a fixed width as for tables."},
    {.group = NULL}};
