/* queries_replication.c - replication, WAL and its archive; queries.h says what a row means. */
#include "query_rows.h"

const struct query queries_replication[] = {
    {.group = NULL}};
