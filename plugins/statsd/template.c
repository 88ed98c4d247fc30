/* template.c - templates cut into parts, and written; template.h says what they mean. */
#include "template.h"

#include <stdlib.h>
#include <string.h>

#define WORD "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

enum part_kind { PART_TEXT, PART_NAME, PART_LABELS, PART_LABEL };
struct part {
    enum part_kind kind;
    const char *text; /* a literal, or the name of a label */
};
struct template {
    char *text; /* fields point into it */
    struct part *parts;
    size_t nparts;
};

/* ---- Making ------------------------------------------------------------------------------------------------------ */

/* Cuts the template into parts; NULL, or what is wrong. */
static const char *parse(struct template *template)
{
    unsigned named = 0;

    for (char *at = template->text; *at;) {
        struct part *part = &template->parts[template->nparts++];

        if (*at == '{') {
            char *end = strchr(at, '}');

            at++;
            if (!end || end == at || strspn(at, WORD) != (size_t)(end - at))
                return "a field is {name}, {labels} or the name of a label in braces";
            *end = '\0';
            part->text = at;
            part->kind = strcmp(at, "name") == 0 ? PART_NAME : strcmp(at, "labels") == 0 ? PART_LABELS : PART_LABEL;
            named += part->kind == PART_NAME;
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
    return named == 1 ? NULL : "{name} has to be in it, once";
}

struct template *template_new(const char *text, const char **wrong)
{
    struct template *template = calloc(1, sizeof(*template));

    *wrong = "";
    if (!template)
        return NULL;
    template->text = strdup(text);
    template->parts = calloc(strlen(text) + 1, sizeof(*template->parts));
    if (template->text && template->parts && (*wrong = parse(template)) == NULL)
        return template;
    template_free(template);
    return NULL;
}

void template_free(struct template *template)
{
    if (!template)
        return;
    for (size_t i = 0; i < template->nparts; i++)
        if (template->parts[i].kind == PART_TEXT)
            free((char *)(uintptr_t)template->parts[i].text);
    free(template->parts);
    free(template->text);
    free(template);
}

/* ---- Using it ---------------------------------------------------------------------------------------------------- */

void text_put(struct text_writer *writer, char byte)
{
    if (writer->at < writer->end)
        *writer->at++ = byte;
    else
        writer->at = writer->end + 1;
}

void text_put_all(struct text_writer *writer, const char *text)
{
    for (; *text && writer->at <= writer->end; text++)
        text_put(writer, *text);
}

void text_put_clean(struct text_writer *writer, const char *text, const char *more)
{
    for (; *text && writer->at <= writer->end; text++) {
        unsigned char byte = (unsigned char)*text;

        if ((byte & 0xc0) == 0x80) /* goes on with a character that was replaced */
            continue;
        text_put(writer, byte < 0x80 && (strchr(WORD, byte) || strchr(more, byte)) ? (char)byte : '_');
    }
}

static void put_dot(struct text_writer *writer)
{
    if (writer->at > writer->begin && writer->at <= writer->end && writer->at[-1] != '.')
        text_put(writer, '.');
}

bool template_has_field(const struct template *template, const char *label)
{
    for (size_t i = 0; i < template->nparts; i++)
        if (template->parts[i].kind == PART_LABEL && strcmp(template->parts[i].text, label) == 0)
            return true;
    return false;
}

bool template_has_labels(const struct template *template)
{
    for (size_t i = 0; i < template->nparts; i++)
        if (template->parts[i].kind == PART_LABELS)
            return true;
    return false;
}

static void put_part(struct text_writer *writer, const struct template *template, const struct part *part,
                     const struct weir_series_info *info)
{
    if (part->kind == PART_TEXT) {
        for (const char *text = part->text; *text; text++) {
            if (*text == '.')
                put_dot(writer);
            else
                text_put(writer, *text);
        }
    } else if (part->kind == PART_NAME) {
        text_put_clean(writer, info->name, "-");
    } else {
        for (size_t i = 0; i < info->nlabels; i++) {
            const struct weir_label *label = &info->labels[i];

            if (part->kind == PART_LABEL && strcmp(label->name, part->text) == 0) {
                text_put_clean(writer, label->value, "-");
            } else if (part->kind == PART_LABELS && !template_has_field(template, label->name)) {
                put_dot(writer);
                text_put_clean(writer, label->name, "-");
                put_dot(writer);
                text_put_clean(writer, label->value, "-");
            }
        }
    }
}

void template_put(struct text_writer *writer, const struct template *template, const struct weir_series_info *info)
{
    for (size_t i = 0; i < template->nparts; i++) {
        if (template->parts[i].kind == PART_NAME)
            writer->name = writer->at;
        put_part(writer, template, &template->parts[i], info);
    }
    if (writer->at <= writer->end && writer->at > writer->begin && writer->at[-1] == '.')
        writer->at--;
}
