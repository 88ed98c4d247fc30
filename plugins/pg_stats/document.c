/* document.c - what queries_*.c say, for readers and tests; a program of the build, not installed.
 *
 *   document sql VERSION    every statement for a server of that version (150000), one per line:
 *                           group, scope, role, extension or "-", the SELECT; separated by tabs
 */
#include "queries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int sql(int version)
{
    static const char *const scopes[] = {[QUERY_SERVER] = "server", [QUERY_DATABASE] = "database"};
    static const char *const roles[] = {[QUERY_ANYWHERE] = "anywhere", [QUERY_PRIMARY] = "primary", [QUERY_STANDBY] = "standby"};
    const struct query_facts facts = {.version = version, .extschema = "public"};
    static struct query_plan plan;

    for (const struct query *const *table = query_tables; *table; table++) {
        for (const struct query *query = *table; query->group; query++) {
            if (!query_applies(query, version))
                continue;
            if (!query_make(query, &facts, &plan)) {
                fprintf(stderr, "document: the statement of \"%s\" is too long\n", query->group);
                return 1;
            }
            printf("%s\t%s\t%s\t%s\t%s\n", query->group, scopes[query->scope], roles[query->role],
                   query->extension ? query->extension : "-", plan.sql);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "sql") == 0)
        return sql(atoi(argv[2]));
    fprintf(stderr, "usage: document sql VERSION\n");
    return 2;
}
