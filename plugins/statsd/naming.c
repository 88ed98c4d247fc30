/* naming.c - patterns, lines, tags; naming.h says what they mean. */
#include "naming.h"

#include "template.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

struct naming {
    enum naming_dialect dialect;
    struct template *template;
    char **metrics;
    size_t nmetrics;
    char *tags; /* joined by commas; "" for none */
};

/* ---- Making ------------------------------------------------------------------------------------------------------ */

static char *tags_join(const struct weir_list *list)
{
    size_t length = 1;
    char *joined, *at;

    for (size_t i = 0; i < list->count; i++)
        length += strlen(list->items[i]) + 1;
    at = joined = malloc(length);
    if (!joined)
        return NULL;
    for (size_t i = 0; i < list->count; i++) {
        if (i)
            *at++ = ',';
        at = stpcpy(at, list->items[i]);
    }
    *at = '\0';
    return joined;
}

struct naming *naming_new(const struct naming_options *options, char *why, size_t why_size)
{
    const bool tagged = options->dialect == NAMING_DOGSTATSD;
    const char *wrong;
    const struct weir_list *tags = &options->tags;
    struct naming *naming = calloc(1, sizeof(*naming));

    *why = '\0';
    if (!naming)
        return NULL;
    naming->dialect = (enum naming_dialect)options->dialect;
    naming->template = template_new(options->template ? options->template : tagged ? "{name}" : "{name}.{labels}", &wrong);
    if (!naming->template && *wrong)
        snprintf(why, why_size, "template: %s", wrong);
    naming->metrics = calloc(options->metrics.count + 1, sizeof(char *));
    naming->tags = tags_join(&options->tags);
    if (!naming->template || !naming->metrics || !naming->tags)
        goto refused;
    for (size_t i = 0; i < options->metrics.count; i++) {
        naming->metrics[i] = strdup(options->metrics.items[i]);
        if (!naming->metrics[i])
            goto refused;
        naming->nmetrics++;
    }
    if (tags->count && !tagged) {
        snprintf(why, why_size, "tags: only dogstatsd has them; write what all names share into template");
        goto refused;
    }
    for (size_t i = 0; i < tags->count; i++)
        if (!*tags->items[i] || tags->items[i][strspn(tags->items[i], WORD ".:/-")]) {
            snprintf(why, why_size, "tags: \"%s\" is not a tag, such as \"env:prod\"", tags->items[i]);
            goto refused;
        }
    return naming;
refused:
    naming_free(naming);
    return NULL;
}

void naming_free(struct naming *naming)
{
    if (!naming)
        return;
    for (size_t i = 0; i < naming->nmetrics; i++)
        free(naming->metrics[i]);
    free(naming->metrics);
    template_free(naming->template);
    free(naming->tags);
    free(naming);
}

/* ---- Using it ---------------------------------------------------------------------------------------------------- */

bool naming_takes(const struct naming *naming, const char *family)
{
    for (size_t i = naming->nmetrics; i-- > 0;) {
        const char *pattern = naming->metrics[i];
        bool not = *pattern == '!';

        if (fnmatch(pattern + not, family, 0) == 0)
            return !not;
    }
    return false;
}

size_t naming_make(const struct naming *naming, const struct weir_series_info *info, bool counter, char *out, size_t room,
                   uint32_t *name_length)
{
    struct text_writer writer = {.begin = out, .at = out, .end = out + room};
    char before = '#';

    template_put(&writer, naming->template, info);
    text_put(&writer, ':');
    *name_length = (uint32_t)(writer.at - out);
    text_put_all(&writer, counter ? "|c" : "|g");
    if (naming->dialect == NAMING_DOGSTATSD) {
        for (size_t i = 0; i < info->nlabels && !template_has_labels(naming->template); i++) {
            if (template_has_field(naming->template, info->labels[i].name))
                continue;
            text_put_all(&writer, before == '#' ? "|#" : ",");
            before = ',';
            text_put_all(&writer, info->labels[i].name);
            text_put(&writer, ':');
            text_put_clean(&writer, info->labels[i].value, "-./");
        }
        if (*naming->tags) {
            text_put_all(&writer, before == '#' ? "|#" : ",");
            text_put_all(&writer, naming->tags);
        }
    }
    return writer.at <= writer.end ? (size_t)(writer.at - out) : 0;
}
