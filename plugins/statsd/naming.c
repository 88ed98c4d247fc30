/* naming.c - templates, patterns, tags; naming.h says what they mean. */
#include "naming.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

enum part_kind { PART_TEXT, PART_NAME, PART_LABELS, PART_LABEL };
struct part {
    enum part_kind kind;
    const char *text; /* a literal, or the name of a label */
};
struct naming {
    enum naming_dialect dialect;
    char *template; /* fields point into it */
    struct part *parts;
    size_t nparts;
    char **metrics;
    size_t nmetrics;
    char *tags; /* joined by commas; "" for none */
};

/* ---- Making ------------------------------------------------------------------------------------------------------ */

/* Cuts the template into parts; NULL, or what is wrong. */
static const char *template_parse(struct naming *naming)
{
    bool named = false;

    for (char *at = naming->template; *at;) {
        struct part *part = &naming->parts[naming->nparts++];

        if (*at == '{') {
            char *end = strchr(at, '}');

            at++;
            if (!end || end == at || strspn(at, WORD) != (size_t)(end - at))
                return "a field is {name}, {labels} or the name of a label in braces";
            *end = '\0';
            part->text = at;
            part->kind = strcmp(at, "name") == 0 ? PART_NAME : strcmp(at, "labels") == 0 ? PART_LABELS : PART_LABEL;
            named |= part->kind == PART_NAME;
            at = end + 1;
        } else {
            size_t length = strspn(at, WORD ".-");

            if (!length)
                return "letters, digits, \"_\", \"-\", \".\" and fields in braces are what it may have";
            part->kind = PART_TEXT;
            part->text = strndup(at, length); /* a copy: what ends it is still to be read */
            if (!part->text)
                return "";
            at += length;
        }
    }
    return named ? NULL : "{name} has to be in it";
}

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
    const char *template = options->template ? options->template : tagged ? "{name}" : "{name}.{labels}", *wrong;
    const struct weir_list *tags = &options->tags;
    struct naming *naming = calloc(1, sizeof(*naming));

    *why = '\0';
    if (!naming)
        return NULL;
    naming->dialect = (enum naming_dialect)options->dialect;
    naming->template = strdup(template);
    naming->parts = calloc(strlen(template) + 1, sizeof(*naming->parts));
    naming->metrics = calloc(options->metrics.count + 1, sizeof(char *));
    naming->tags = tags_join(&options->tags);
    if (!naming->template || !naming->parts || !naming->metrics || !naming->tags)
        goto refused;
    for (size_t i = 0; i < options->metrics.count; i++) {
        naming->metrics[i] = strdup(options->metrics.items[i]);
        if (!naming->metrics[i])
            goto refused;
        naming->nmetrics++;
    }
    wrong = template_parse(naming);
    if (wrong) {
        if (*wrong)
            snprintf(why, why_size, "template: %s", wrong);
        goto refused;
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
    for (size_t i = 0; i < naming->nparts; i++)
        if (naming->parts[i].kind == PART_TEXT)
            free((char *)(uintptr_t)naming->parts[i].text);
    for (size_t i = 0; i < naming->nmetrics; i++)
        free(naming->metrics[i]);
    free(naming->metrics);
    free(naming->parts);
    free(naming->template);
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

struct writer {
    char *begin, *at, *end; /* at == end + 1: it was too long */
};

static void put(struct writer *writer, char byte)
{
    if (writer->at < writer->end)
        *writer->at++ = byte;
    else
        writer->at = writer->end + 1;
}

static void put_text(struct writer *writer, const char *text)
{
    for (; *text && writer->at <= writer->end; text++)
        put(writer, *text);
}

/* With what is neither a word's nor in `more` replaced. */
static void put_clean(struct writer *writer, const char *text, const char *more)
{
    for (; *text && writer->at <= writer->end; text++) {
        unsigned char byte = (unsigned char)*text;

        if ((byte & 0xc0) == 0x80) /* goes on with a character that was replaced */
            continue;
        put(writer, byte < 0x80 && (strchr(WORD, byte) || strchr(more, byte)) ? (char)byte : '_');
    }
}

static void put_dot(struct writer *writer)
{
    if (writer->at > writer->begin && writer->at <= writer->end && writer->at[-1] != '.')
        put(writer, '.');
}

/* True if a field of the template has this label. */
static bool has_field(const struct naming *naming, const char *label)
{
    for (size_t i = 0; i < naming->nparts; i++)
        if (naming->parts[i].kind == PART_LABEL && strcmp(naming->parts[i].text, label) == 0)
            return true;
    return false;
}

static bool has_labels(const struct naming *naming)
{
    for (size_t i = 0; i < naming->nparts; i++)
        if (naming->parts[i].kind == PART_LABELS)
            return true;
    return false;
}

static void put_part(struct writer *writer, const struct naming *naming, const struct part *part,
                     const struct weir_series_info *info)
{
    if (part->kind == PART_TEXT) {
        for (const char *text = part->text; *text; text++) {
            if (*text == '.')
                put_dot(writer);
            else
                put(writer, *text);
        }
    } else if (part->kind == PART_NAME) {
        put_clean(writer, info->name, "-");
    } else {
        for (size_t i = 0; i < info->nlabels; i++) {
            const struct weir_label *label = &info->labels[i];

            if (part->kind == PART_LABEL && strcmp(label->name, part->text) == 0) {
                put_clean(writer, label->value, "-");
            } else if (part->kind == PART_LABELS && !has_field(naming, label->name)) {
                put_dot(writer);
                put_clean(writer, label->name, "-");
                put_dot(writer);
                put_clean(writer, label->value, "-");
            }
        }
    }
}

size_t naming_make(const struct naming *naming, const struct weir_series_info *info, bool counter, char *out, size_t room,
                   uint32_t *name_length)
{
    struct writer writer = {.begin = out, .at = out, .end = out + room};
    char before = '#';

    for (size_t i = 0; i < naming->nparts; i++)
        put_part(&writer, naming, &naming->parts[i], info);
    if (writer.at <= writer.end && writer.at > writer.begin && writer.at[-1] == '.')
        writer.at--;
    put(&writer, ':');
    *name_length = (uint32_t)(writer.at - out);
    put_text(&writer, counter ? "|c" : "|g");
    if (naming->dialect == NAMING_DOGSTATSD) {
        for (size_t i = 0; i < info->nlabels && !has_labels(naming); i++) {
            if (has_field(naming, info->labels[i].name))
                continue;
            put_text(&writer, before == '#' ? "|#" : ",");
            before = ',';
            put_text(&writer, info->labels[i].name);
            put(&writer, ':');
            put_clean(&writer, info->labels[i].value, "-./");
        }
        if (*naming->tags) {
            put_text(&writer, before == '#' ? "|#" : ",");
            put_text(&writer, naming->tags);
        }
    }
    return writer.at <= writer.end ? (size_t)(writer.at - out) : 0;
}
