/* use_sizes.c - sizes that need not be asked for again.
 *
 * What a size costs the server is a look into the file system for each fork of each relation.  So each row comes with two marks: the
 * relation's oid, and a sign, which changes when its size may have (queries_relations.c).  The next statement names the relations with the
 * signs that they had; of those that have them still the server gives no size, but the sign.  The last one is then the present one: it is no
 * older than the pass.  A sign of 0 is not remembered, and no sign is a size that could not be had.
 *
 * The server forgets nothing that it has not been told: the list goes with each statement, and what does not fit is asked for.
 */
#include "pg_stats.h"

#include "query_relations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX (256u * 1024u) /* bytes of one of the two lists */
#define NUMBER_MAX 21u          /* with its comma */

/* One mark of each row that has both, as far as there is room; without the last comma. */
static size_t list_marks(const struct source *source, unsigned mark, char *to, size_t rows)
{
    const struct rows *seen = &source->seen;
    char *at = to;

    for (size_t i = 0; i < seen->count && rows; i++) {
        uint64_t *words = &seen->words[i * seen->nwords];
        const uint64_t *marks = row_marks(source->statement, words);

        if (!*row_since(source->statement, words) || !marks[MARK_SIGN])
            continue;
        at += snprintf(at, NUMBER_MAX + 1, "%lld,", (long long)marks[mark]);
        rows--;
    }
    return (size_t)(at - to) - (at != to);
}

char *use_known(const struct source *source)
{
    const char *copy = source->statement->copy, *oids = strstr(copy, KNOWN_RELATIONS), *signs;
    const size_t room = source->seen.count * NUMBER_MAX < LIST_MAX ? source->seen.count * NUMBER_MAX : LIST_MAX;
    char *made = malloc(source->statement->copy_length + 2 * room + NUMBER_MAX), *at = made;

    if (!made)
        return NULL;
    oids = strchr(oids, '{') + 1;
    signs = strchr(oids, '{') + 1;
    at = mempcpy(at, copy, (size_t)(oids - copy));
    at += list_marks(source, MARK_OID, at, room / NUMBER_MAX);
    at = mempcpy(at, oids, (size_t)(signs - oids));
    at += list_marks(source, MARK_SIGN, at, room / NUMBER_MAX);
    strcpy(at, signs);
    return made;
}
