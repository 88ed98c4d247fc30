/* queries_objects.c - what is not a table or an index of a database: sequences, extensions, statements; queries.h says what a row means. */
#include "query_rows.h"

const struct query queries_objects[] = {
    {.group = NULL}};
