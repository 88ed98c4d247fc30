/* query_relations.h - what the queries about tables and indexes have in common; for queries_*.c alone. */
#ifndef PG_STATS_QUERY_RELATIONS_H
#define PG_STATS_QUERY_RELATIONS_H

#include "query_rows.h"

#define USER_SCHEMA "n.nspname <> ALL (ARRAY['pg_catalog', 'information_schema']) AND n.nspname !~ '^pg_toast'"

/* What the views pg_stat_user_tables and pg_stat_user_indexes show.  Reading the catalog and calling the statistics functions
 * costs a quarter of reading the views. */
#define USER_TABLES(kinds) \
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace " \
    "WHERE c.relkind = ANY (" kinds "::pg_catalog.\"char\"[]) AND " USER_SCHEMA
#define USER_INDEXES \
    "FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid " \
    "JOIN pg_catalog.pg_class c ON c.oid = i.indrelid " USER_TABLES("'{r,t,m}'")

#define TABLE_LABELS LABEL("datname", DATABASE), LABEL("schemaname", "n.nspname"), FOLDED("relname", "c.relname")
#define INDEX_LABELS TABLE_LABELS, FOLDED("indexrelname", "x.relname")

#define BLOCK_SIZE "pg_catalog.current_setting('block_size')::pg_catalog.int8"

/* What a mark says of a relation (use_sizes.c): oids and signs of those whose sizes are known; use_sizes.c fills the braces. */
#define KNOWN_RELATIONS "ROWS FROM (pg_catalog.unnest('{}'::pg_catalog.oid[]), pg_catalog.unnest('{}'::pg_catalog.int4[]))"

#define THIS_DATABASE "(SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())"

/* Relations of this database on which somebody holds, or waits for, an ACCESS EXCLUSIVE lock. */
#define LOCKED \
    "SELECT l.relation AS oid FROM pg_catalog.pg_locks l WHERE l.mode = 'AccessExclusiveLock' AND l.relation IS NOT NULL " \
    "AND l.database = " THIS_DATABASE

#endif
