/* negotiate.c - reading Accept headers; negotiate.h says for what. */
#include "negotiate.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *const negotiate_content_types[FORMATS] = {
    [FORMAT_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
    [FORMAT_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8"};

struct range { /* one element of the list */
    const char *name;
    size_t length;
    const char *version; /* or NULL */
    size_t version_length;
    double q;
};

/* Takes the next element; NULL at the end. */
static const char *range_next(const char *text, struct range *range)
{
    text += strspn(text, " \t,");
    if (!*text)
        return NULL;
    *range = (struct range){.name = text, .q = 1};
    range->length = strcspn(text, " \t,;");
    text += range->length;
    for (text += strspn(text, " \t"); *text == ';'; text += strspn(text, " \t")) {
        size_t name, value;

        text += 1 + strspn(text + 1, " \t");
        name = strcspn(text, "=,;");
        value = text[name] == '=' ? strcspn(text + name + 1, " \t,;") : 0;
        if (name == 1 && (*text == 'q' || *text == 'Q') && value) {
            range->q = strtod(text + 2, NULL);
            if (!(range->q >= 0 && range->q <= 1))
                range->q = 0;
        } else if (name == 7 && strncasecmp(text, "version", 7) == 0 && value) {
            range->version = text + 8;
            range->version_length = value;
            if (value >= 2 && *range->version == '"') {
                range->version++;
                range->version_length -= 2;
            }
        }
        text += name + (text[name] == '=') + value;
    }
    return text + strcspn(text, ",");
}

static bool is(const struct range *range, const char *name)
{
    return range->length == strlen(name) && strncasecmp(range->name, name, range->length) == 0;
}

static bool is_version(const struct range *range, const char *version)
{
    return !range->version || (range->version_length == strlen(version) && memcmp(range->version, version, range->version_length) == 0);
}

enum format negotiate_format(const char *accept)
{
    double openmetrics = 0, text = 0;
    struct range range;

    while (accept && (accept = range_next(accept, &range)) != NULL) {
        if (is(&range, "application/openmetrics-text") && is_version(&range, "1.0.0"))
            openmetrics = range.q > openmetrics ? range.q : openmetrics;
        else if (is(&range, "text/plain") && is_version(&range, "0.0.4"))
            text = range.q > text ? range.q : text;
    }
    return openmetrics > 0 && openmetrics >= text ? FORMAT_OPENMETRICS : FORMAT_TEXT;
}

bool negotiate_gzip(const char *accept_encoding)
{
    double gzip = -1, any = 0;
    struct range range;

    while (accept_encoding && (accept_encoding = range_next(accept_encoding, &range)) != NULL) {
        if (is(&range, "gzip") || is(&range, "x-gzip"))
            gzip = range.q;
        else if (is(&range, "*"))
            any = range.q;
    }
    return (gzip >= 0 ? gzip : any) > 0;
}
