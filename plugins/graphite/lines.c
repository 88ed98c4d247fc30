/* lines.c - lines put together from what is ready; lines.h says which. */
#include "lines.h"

#include "number.h"
#include "record.h"
#include "relabel.h"
#include "template.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS_MAX (2 * NUMBER_MAX + 3) /* with two spaces and the end of the line */

struct around { /* of a label set, in `texts`: what stands before a name, and behind it */
    size_t offset;
    uint32_t before, length;
    bool known, refused;
};
struct lines {
    struct template *template; /* NULL: with tags */
    struct record_reader reader;
    struct around around[RECORD_SAMPLES_MAX];
    struct record_buffer texts, labels, out;
};

struct lines *lines_new(const char *template, const char **wrong)
{
    struct lines *lines = calloc(1, sizeof(*lines));

    *wrong = "";
    if (lines && template && (lines->template = template_new(template, wrong)) == NULL) {
        lines_free(lines);
        return NULL;
    }
    return lines;
}

void lines_free(struct lines *lines)
{
    if (!lines)
        return;
    template_free(lines->template);
    free(lines->texts.bytes);
    free(lines->labels.bytes);
    free(lines->out.bytes);
    free(lines);
}

static char *end_of(const struct record_buffer *buffer)
{
    return (char *)buffer->bytes + buffer->length;
}

/* ---- Names --------------------------------------------------------------------------------------------------------------- */

static bool is_clean(unsigned char byte)
{
    return byte > ' ' && byte < 0x7f && byte != ';';
}

static char *put_clean(char *to, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];

        if ((byte & 0xc0) == 0x80) /* goes on with a character that was replaced */
            continue;
        *to++ = is_clean(byte) && (byte != '~' || i) ? (char)byte : '_';
    }
    return to;
}

/* `;label=value` each. */
static int tags_make(struct lines *lines, struct around *around, const struct record_labels_view *view)
{
    static const char exported[] = "exported_";
    const uint8_t *at = view->bytes, *end = at + view->length;
    struct record_text name, value;
    char *to;

    /* A field of a label has more bytes around the two texts than the two signs here. */
    if (!record_reserve(&lines->texts, view->length + sizeof(exported)))
        return -1;
    to = end_of(&lines->texts);
    while (record_label_next(&at, end, &name, &value) > 0) {
        char *begin = to;

        *to++ = ';';
        if (name.length == 4 && memcmp(name.at, "name", 4) == 0)
            to = (char *)memcpy(to, exported, sizeof(exported) - 1) + sizeof(exported) - 1;
        to = put_clean(to, name.at, name.length);
        *to++ = '=';
        to = put_clean(to, value.at, value.length);
        if (to[-1] == '=' && !value.length) /* an empty one is none */
            to = begin;
    }
    around->before = 0;
    around->length = (uint32_t)(to - end_of(&lines->texts));
    lines->texts.length += around->length;
    return 0;
}

/* By the template, as for a family of the name "n". */
static int path_make(struct lines *lines, struct around *around, const struct record_labels_view *view)
{
    const uint8_t *at = view->bytes, *end = at + view->length;
    struct weir_label labels[RELABEL_LABELS_MAX];
    struct weir_series_info info = {.size = sizeof(info), .name = "n", .labels = labels};
    struct record_text name, value;
    struct text_writer writer;
    char *to, *behind;

    lines->labels.length = 0;
    if (!record_reserve(&lines->labels, view->length) || !record_reserve(&lines->texts, LINES_LENGTH_MAX))
        return -1;
    to = end_of(&lines->labels);
    while (info.nlabels < RELABEL_LABELS_MAX && record_label_next(&at, end, &name, &value) > 0) {
        struct weir_label *label = &labels[info.nlabels++];

        label->name = to;
        to = (char *)memcpy(to, name.at, name.length) + name.length;
        *to++ = '\0';
        label->value = to;
        to = (char *)memcpy(to, value.at, value.length) + value.length;
        *to++ = '\0';
    }
    writer.begin = writer.at = end_of(&lines->texts);
    writer.end = writer.begin + LINES_LENGTH_MAX - 1;
    template_put(&writer, lines->template, &info);
    around->refused = writer.at > writer.end;
    if (around->refused)
        return 0;
    behind = writer.name + 1;
    around->before = (uint32_t)(writer.name - writer.begin);
    around->length = (uint32_t)(writer.at - writer.begin) - 1;
    memmove(writer.name, behind, (size_t)(writer.at - behind));
    lines->texts.length += around->length;
    return 0;
}

static int around_make(struct lines *lines, struct around *around, const struct record_labels_view *view)
{
    *around = (struct around){.offset = lines->texts.length, .known = true};
    return lines->template ? path_make(lines, around, view) : tags_make(lines, around, view);
}

/* ---- Lines --------------------------------------------------------------------------------------------------------------- */

static int put_line(struct lines *lines, const struct around *around, const struct record_sample *sample, struct lines_record *out)
{
    const struct record_text *name = &lines->reader.families[sample->family].name;
    const size_t most = around->length + name->length + NUMBERS_MAX;
    const char *from = (const char *)lines->texts.bytes + around->offset;
    const double value = record_sample_f64(sample);
    char *to;

    if (!isfinite(value) || around->refused || most > LINES_LENGTH_MAX || sample->time_ms < 0 || !name->length) {
        out->refused++;
        return 0;
    }
    if (!record_reserve(&lines->out, most))
        return -1;
    to = end_of(&lines->out);
    if (around->before)
        to = (char *)memcpy(to, from, around->before) + around->before;
    to = put_clean(to, name->at, name->length);
    if (around->length > around->before)
        to = (char *)memcpy(to, from + around->before, around->length - around->before) + around->length - around->before;
    *to++ = ' ';
    to += number_f64(to, value);
    *to++ = ' ';
    to += number_u64(to, (uint64_t)sample->time_ms / 1000);
    *to++ = '\n';
    lines->out.length += (size_t)(to - end_of(&lines->out));
    out->samples++;
    return 0;
}

int lines_encode(struct lines *lines, const uint8_t *payload, size_t length, struct lines_record *out)
{
    struct record_reader *reader = &lines->reader;
    struct record_sample sample;

    *out = (struct lines_record){0};
    lines->texts.length = lines->out.length = 0;
    memset(lines->around, 0, sizeof(lines->around));
    if (!record_read(reader, payload, length))
        return 0;
    while (record_block(reader) > 0) {
        struct around *around = &lines->around[reader->labelset];

        if (!around->known && around_make(lines, around, &reader->labelsets[reader->labelset]) < 0)
            return -1;
        while (record_sample(reader, &sample) > 0)
            if (put_line(lines, around, &sample, out) < 0)
                return -1;
    }
    out->bytes = (const char *)lines->out.bytes;
    out->length = lines->out.length;
    return 0;
}
