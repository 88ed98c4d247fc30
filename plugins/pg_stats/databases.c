/* databases.c - which databases there are, and the sources of each.
 *
 * The list comes with every visit of the pool's own database.  A database that is new gets its sources at once; one that was
 * dropped or renamed, or that we may not connect to any more, loses them.  The pool's own is one of the list, read over the same
 * session.
 */
#include "pg_stats.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

const char databases_sql[] =
    "SELECT d.datname FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database() "
    /* -2: left half dropped */
    "OR (d.datallowconn AND d.datconnlimit <> 0 AND d.datconnlimit <> -2 "
    "AND pg_catalog.has_database_privilege(d.oid, 'CONNECT')) ORDER BY d.oid; ";

bool pattern_list_takes(const struct weir_list *list, const char *name)
{
    bool takes = false;

    for (size_t i = 0; i < list->count; i++) {
        const char *pattern = list->items[i];
        bool not = *pattern == '!';

        if (fnmatch(pattern + not, name, 0) == 0)
            takes = !not;
    }
    return takes;
}

static void database_free(struct database *database)
{
    free(database->sources);
    free(database->name);
    free(database);
}

static void database_remove(struct database *database)
{
    for (size_t i = 0; i < database->nsources; i++)
        source_remove(&database->sources[i]);
    database_free(database);
}

static int database_add(struct pg_stats *stats, const char *name)
{
    struct database *database = calloc(1, sizeof(*database)), **at = &stats->databases;
    size_t count = 0;

    while (stats->wanted[count])
        count++;
    if (!database)
        return WEIR_ENOMEM;
    database->name = strdup(name);
    database->sources = calloc(count ? count : 1, sizeof(*database->sources));
    if (!database->name || !database->sources) {
        database_free(database);
        return WEIR_ENOMEM;
    }
    database->place = stats->databases_seen++;
    database->listed = true;
    database->target.database = database->name;
    database->at = strcmp(name, stats->own_database) == 0 ? &stats->target : &database->target;
    for (size_t i = 0; i < count; i++) {
        int status = WEIR_OK;

        if (stats->wanted[i]->scope == QUERY_DATABASE)
            status = source_add(&database->sources[database->nsources++], stats, stats->wanted[i], database);
        if (status < 0) {
            database_remove(database);
            return status;
        }
    }
    while (*at)
        at = &(*at)->next;
    *at = database;
    return WEIR_OK;
}

int databases_update(struct pg_stats *stats, const char *own, const PGresult *answer)
{
    size_t count = 0;

    if (PQnfields(answer) != 1)
        return host->fail(stats->self, WEIR_EFAIL, "the server's answer is not as asked for");
    if (!stats->own_database && !(stats->own_database = strdup(own)))
        return WEIR_ENOMEM;
    for (struct database *database = stats->databases; database; database = database->next)
        database->listed = false;
    for (int i = 0; i < PQntuples(answer); i++)
        count += pattern_list_takes(&stats->config->databases, PQgetvalue(answer, i, 0));
    stats->ndatabases = count;
    for (int i = 0; i < PQntuples(answer); i++) {
        const char *name = PQgetvalue(answer, i, 0);
        struct database *database = stats->databases;
        int status;

        if (!pattern_list_takes(&stats->config->databases, name))
            continue;
        while (database && strcmp(database->name, name) != 0)
            database = database->next;
        if (database) {
            database->listed = true;
            continue;
        }
        status = database_add(stats, name);
        if (status == WEIR_ENOMEM)
            return status;
        if (status < 0 && !stats->full_told)
            host->log(stats->self, WEIR_WARNING, "database \"%s\" is left out: the collector has no room for more groups; "
                      "choose fewer databases or groups", name);
        stats->full_told |= status < 0;
    }
    return WEIR_OK;
}

void databases_sweep(struct pg_stats *stats, const struct source *open)
{
    struct database **at = &stats->databases;

    while (*at) {
        struct database *database = *at;

        if (database->listed || open->database == database) {
            at = &database->next;
            continue;
        }
        *at = database->next;
        stats->rotation_ns -= database->target.took_ns;
        database_remove(database);
    }
}

void databases_free(struct pg_stats *stats)
{
    struct database *next;

    for (struct database *database = stats->databases; database; database = next) {
        next = database->next;
        for (size_t i = 0; i < database->nsources; i++)
            source_free(&database->sources[i]);
        database_free(database);
    }
}
