/* queries_statements.c - pg_stat_statements, read without its texts; queries.h says what a row means.
 *
 * Most figures of most statements are 0.  They are sent as NULL, which costs the server less and means 0 here; and nothing is
 * grouped, which would cost as much again: two rows of one statement (toplevel) are added up by top.c.
 * Versions are the extension's, which may be older than the server's; where the server's are given too, they say which one came
 * with it first.
 */
#include "query_rows.h"

#define V1_8 10008
#define V1_9 10009
#define V1_10 10010
#define V1_11 10011
#define V1_12 10012
#define COUNT(name) "nullif(s." name ", 0)"
#define SECONDS(e) "(nullif(" e ", 0) / 1000.0::pg_catalog.float8)"
#define SINCE_15 .min_version = 150000, .min_extversion = V1_10
#define SINCE_17 .min_version = 170000, .min_extversion = V1_11
#define SINCE_18 .min_version = 180000, .min_extversion = V1_12
#define JIT "s.jit_generation_time + s.jit_inlining_time + s.jit_optimization_time + s.jit_emission_time"
#define JIT_SECONDS(e) "CASE WHEN s.jit_functions > 0 THEN (" e ") / 1000.0::pg_catalog.float8 END"

static const struct query_column statement_columns[] = {
    FOLDED("queryid", "s.queryid::pg_catalog.text"),
    LABEL("user", "pg_catalog.pg_get_userbyid(s.userid)"),
    LABEL("datname", "d.datname"),
    COUNTER("calls_total", COUNT("calls"), "Times the statement was executed"),
    REAL_COUNTER("seconds_total", SECONDS("s.total_exec_time"), "Time spent executing the statement, in seconds", .unit = "seconds",
                 .flags = COLUMN_RANK, .min_extversion = V1_8),
    REAL_COUNTER("seconds_total", SECONDS("s.total_time"), "Time spent executing the statement, in seconds", .unit = "seconds",
                 .flags = COLUMN_RANK, .end_extversion = V1_8),
    COUNTER("rows_total", COUNT("rows"), "Rows retrieved or affected by the statement"),
    REAL_COUNTER("block_read_seconds_total", SECONDS("s.shared_blk_read_time"),
                 "Time the statement spent reading shared blocks, in seconds", .unit = "seconds", SINCE_17),
    REAL_COUNTER("block_write_seconds_total", SECONDS("s.shared_blk_write_time"),
                 "Time the statement spent writing shared blocks, in seconds", .unit = "seconds", SINCE_17),
    REAL_COUNTER("block_read_seconds_total", SECONDS("s.blk_read_time"), "Time the statement spent reading blocks, in seconds",
                 .unit = "seconds", .end_extversion = V1_11),
    REAL_COUNTER("block_write_seconds_total", SECONDS("s.blk_write_time"), "Time the statement spent writing blocks, in seconds",
                 .unit = "seconds", .end_extversion = V1_11),
    /* Filled in by statements.c. */
    REAL_GAUGE("mean_seconds", "NULL::pg_catalog.float8", "Average time of the executions since the last pass, in seconds",
               .unit = "seconds", .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("max_seconds", SECONDS("s.max_exec_time"), "Longest execution since the figures were reset, in seconds",
               .unit = "seconds", .flags = COLUMN_MAX, .min_extversion = V1_8),
    REAL_GAUGE("max_seconds", SECONDS("s.max_time"), "Longest execution since the figures were reset, in seconds",
               .unit = "seconds", .flags = COLUMN_MAX, .end_extversion = V1_8),
    COUNTER("plans_total", COUNT("plans"), "Times the statement was planned; with pg_stat_statements.track_planning",
            .min_extversion = V1_8),
    REAL_COUNTER("plan_seconds_total", SECONDS("s.total_plan_time"),
                 "Time spent planning the statement, in seconds; with pg_stat_statements.track_planning", .unit = "seconds",
                 .min_extversion = V1_8),
    COUNTER("shared_blocks_hit_total", COUNT("shared_blks_hit"), "Shared blocks found in the buffer cache"),
    COUNTER("shared_blocks_read_total", COUNT("shared_blks_read"), "Shared blocks read"),
    COUNTER("shared_blocks_dirtied_total", COUNT("shared_blks_dirtied"), "Shared blocks dirtied"),
    COUNTER("shared_blocks_written_total", COUNT("shared_blks_written"), "Shared blocks written"),
    COUNTER("local_blocks_hit_total", COUNT("local_blks_hit"), "Blocks of temporary tables found in the buffer cache"),
    COUNTER("local_blocks_read_total", COUNT("local_blks_read"), "Blocks of temporary tables read"),
    COUNTER("local_blocks_dirtied_total", COUNT("local_blks_dirtied"), "Blocks of temporary tables dirtied"),
    COUNTER("local_blocks_written_total", COUNT("local_blks_written"), "Blocks of temporary tables written"),
    COUNTER("temp_blocks_read_total", COUNT("temp_blks_read"), "Blocks of temporary files read"),
    COUNTER("temp_blocks_written_total", COUNT("temp_blks_written"), "Blocks of temporary files written"),
    REAL_COUNTER("local_block_read_seconds_total", SECONDS("s.local_blk_read_time"),
                 "Time the statement spent reading blocks of temporary tables, in seconds", .unit = "seconds", SINCE_17),
    REAL_COUNTER("local_block_write_seconds_total", SECONDS("s.local_blk_write_time"),
                 "Time the statement spent writing blocks of temporary tables, in seconds", .unit = "seconds", SINCE_17),
    REAL_COUNTER("temp_block_read_seconds_total", SECONDS("s.temp_blk_read_time"),
                 "Time the statement spent reading temporary files, in seconds", .unit = "seconds", SINCE_15),
    REAL_COUNTER("temp_block_write_seconds_total", SECONDS("s.temp_blk_write_time"),
                 "Time the statement spent writing temporary files, in seconds", .unit = "seconds", SINCE_15),
    COUNTER("wal_records_total", COUNT("wal_records"), "WAL records generated", .min_extversion = V1_8),
    COUNTER("wal_fpi_total", COUNT("wal_fpi"), "Full page images written to the WAL", .min_extversion = V1_8),
    /* A numeric at the server. */
    COUNTER("wal_bytes_total", "CASE WHEN s.wal_records > 0 THEN s.wal_bytes::pg_catalog.int8 END", "WAL generated, in bytes",
            .unit = "bytes", .min_extversion = V1_8),
    COUNTER("wal_buffers_full_total", COUNT("wal_buffers_full"), "Times WAL was written because its buffers were full", SINCE_18),
    COUNTER("jit_functions_total", COUNT("jit_functions"), "Functions compiled just in time", SINCE_15),
    REAL_COUNTER("jit_seconds_total", JIT_SECONDS(JIT), "Time spent on just-in-time compilation, in seconds", .unit = "seconds",
                 .min_version = 150000, .min_extversion = V1_10, .end_extversion = V1_11),
    REAL_COUNTER("jit_seconds_total", JIT_SECONDS(JIT " + s.jit_deform_time"), "Time spent on just-in-time compilation, in seconds",
                 .unit = "seconds", SINCE_17),
    COUNTER("parallel_workers_to_launch_total", COUNT("parallel_workers_to_launch"), "Parallel workers planned", SINCE_18),
    COUNTER("parallel_workers_launched_total", COUNT("parallel_workers_launched"), "Parallel workers launched", SINCE_18),
    END};

static const struct query_column info_columns[] = {
    COUNTER("dealloc_total", "i.dealloc",
            "Times the least executed statements were dropped, as there were more than pg_stat_statements.max"),
    REAL_GAUGE("stats_reset", EPOCH("i.stats_reset"), "Time at which all statements were last reset"),
    END};

static const struct query_column text_columns[] = {
    LABEL("queryid", "s.queryid::pg_catalog.text"),
    LABEL("query", "pg_catalog.min(pg_catalog.left(s.query, 4096))"),
    COUNTER("query_id", "1::pg_catalog.int8", "The text of a statement, without its values"),
    END};

const struct query queries_statements[] = {
    {.group = "statements", .collector = "stat_statements", .prefix = "pg_stat_statements_", .columns = statement_columns,
     .extension = "pg_stat_statements", .limit = LIMIT_STATEMENTS, .use = USE_STATEMENTS,
     .adds_up = true, .priority = 5, .interval_s = 30,
     .from = "FROM @extschema@.pg_stat_statements(false) s JOIN pg_catalog.pg_database d ON d.oid = s.dbid",
     .about = "What each statement costs; the strongest by time, all others added up as \"other\". 8 ms of the server for 5,000 "
              "statements, during which statements that it has not seen yet wait to be registered."},
    {.group = "statements_info", .prefix = "pg_stat_statements_info_", .columns = info_columns, .extension = "pg_stat_statements",
     .min_version = 140000, .min_extversion = V1_9, .priority = 5, .from = "FROM @extschema@.pg_stat_statements_info() i",
     .about = "Whether pg_stat_statements has room for all statements, and since when it counts."},
    {.group = "statement_texts", .collector = "stat_statements", .prefix = "pg_stat_statements_", .columns = text_columns,
    .extension = "pg_stat_statements", .use = USE_TEXTS, .priority = 8, .off = true,
    .from = "FROM @extschema@.pg_stat_statements(true) s WHERE s.queryid = ANY ('{}'::pg_catalog.int8[]) GROUP BY s.queryid",
    .about = "The texts of the statements that are shown, each fetched once and without values. The server reads all texts for it, "
             "so new ones are asked for at most once a minute, and never for more than a hundredth of the time."},
    {.group = NULL}};
