/* distribution.c - what of a name and of labels tells the parts of a histogram, and their order; distribution.h says why. */
#include "distribution.h"

#include <weir_plugin.h>

#include <stdlib.h>
#include <string.h>

const char *const part_endings[PARTS] = {
    [PART_VALUE] = "", [PART_BUCKET] = "_bucket", [PART_SUM] = "_sum", [PART_COUNT] = "_count"};

enum part part_of(uint32_t kind, const char *name, size_t *length)
{
    *length = strlen(name);
    if (kind != WEIR_HISTOGRAM && kind != WEIR_SUMMARY)
        return PART_VALUE;
    for (unsigned part = kind == WEIR_HISTOGRAM ? PART_BUCKET : PART_SUM; part < PARTS; part++) {
        size_t ending = strlen(part_endings[part]);

        if (*length <= ending || strcmp(name + *length - ending, part_endings[part]) != 0)
            continue;
        *length -= ending;
        return (enum part)part;
    }
    return PART_VALUE;
}

/* ---- Labels: {a="b",le="1.0",c="d"} ------------------------------------------------------------------------------------------------ */

/* The label `le` or `quantile`, without what separates it: its first byte, and behind its last one. */
static bool find_bound(const char *text, size_t length, size_t *first, size_t *value, size_t *end)
{
    for (size_t at = 1; at < length;) {
        size_t name = at;

        while (at < length && text[at] != '=')
            at++;
        *value = at + 2;
        for (at += 2; at < length && text[at] != '"'; at++)
            at += text[at] == '\\';
        *first = name;
        *end = ++at;
        if ((*value - name == 4 && memcmp(text + name, "le=", 3) == 0) ||
            (*value - name == 10 && memcmp(text + name, "quantile=", 9) == 0))
            return true;
        at++; /* the comma, or the end */
    }
    return false;
}

bool part_bound(const char *text, size_t length, size_t *at, size_t *bound_length)
{
    size_t first, end;

    if (!find_bound(text, length, &first, at, &end))
        return false;
    *bound_length = end - 1 - *at;
    return true;
}

/* The labels but for the bound, in two pieces. */
struct rest {
    const char *at[2];
    size_t length[2];
    double bound;
};
static struct rest rest_of(const struct part_line *line)
{
    size_t first, value, end;
    struct rest rest = {{line->text + 1, line->text}, {line->length > 2 ? line->length - 2 : 0, 0}, 0};

    if (line->part > PART_BUCKET || !find_bound(line->text, line->length, &first, &value, &end))
        return rest;
    rest.bound = strtod(line->text + value, NULL);
    /* With the comma before it, or that behind. */
    rest.length[0] = first > 1 ? first - 2 : 0;
    rest.at[1] = line->text + end + (first == 1 && line->text[end] == ',');
    rest.length[1] = (size_t)(line->text + line->length - 1 - rest.at[1]);
    return rest;
}

static int byte_of(const struct rest *rest, size_t i)
{
    if (i < rest->length[0])
        return (unsigned char)rest->at[0][i];
    i -= rest->length[0];
    return i < rest->length[1] ? (unsigned char)rest->at[1][i] : -1;
}

static int compare(const void *a, const void *b)
{
    const struct part_line *one = a, *other = b;
    const struct rest left = rest_of(one), right = rest_of(other);
    int x, y;

    for (size_t i = 0; (x = byte_of(&left, i)) == (y = byte_of(&right, i));)
        if (x < 0)
            break;
        else
            i++;
    if (x != y)
        return x < y ? -1 : 1;
    if (one->part != other->part)
        return one->part < other->part ? -1 : 1;
    return (left.bound > right.bound) - (left.bound < right.bound);
}

void part_sort(struct part_line *lines, size_t count)
{
    qsort(lines, count, sizeof(*lines), compare);
}
