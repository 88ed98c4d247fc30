/* record.c - the format of a payload, written and read; README.md describes it. */
#include "record.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* The low three bits of what begins with a varint; what is left is the number of a family or label set, 0: one that follows. */
enum tag {
    TAG_ZERO,
    TAG_INTEGER,       /* varint */
    TAG_DOUBLE,        /* 8 bytes */
    TAG_STALE,
    TAG_INTEGER_START, /* varint, varint: start, ms */
    TAG_DOUBLE_START,
    TAG_LABELS,        /* the label set of the samples that follow */
    TAG_TIME           /* the time of the samples that follow, ms */
};
#define TAG_BITS 3

/* ---- Writing ------------------------------------------------------------------------------------------------------------------- */

void record_writer_init(struct record_writer *writer, size_t headroom)
{
    *writer = (struct record_writer){.headroom = headroom};
}

void record_writer_free(struct record_writer *writer)
{
    free(writer->bytes);
    writer->bytes = NULL;
}

void record_begin(struct record_writer *writer)
{
    writer->length = writer->headroom;
    writer->expanded = 0;
    writer->samples = writer->families = writer->labelsets = 0;
    writer->labels = NULL;
    writer->time_ms = INT64_MIN;
    writer->turn++;
}

static uint8_t *put_text(uint8_t *to, const char *text)
{
    size_t length = strlen(text);

    to = record_put_varint(to, length);
    memcpy(to, text, length);
    return to + length;
}

static uint8_t *put_labels(struct record_writer *writer, uint8_t *to, struct record_labels *labels)
{
    if (labels->turn == writer->turn)
        return record_put_varint(to, (uint64_t)labels->number << TAG_BITS | TAG_LABELS);
    labels->turn = writer->turn;
    labels->number = ++writer->labelsets;
    *to++ = TAG_LABELS;
    to = record_put_varint(to, labels->hash);
    to = record_put_varint(to, labels->split);
    to = record_put_varint(to, labels->length);
    memcpy(to, labels->bytes, labels->length);
    return to + labels->length;
}

static uint8_t *put_tag(struct record_writer *writer, uint8_t *to, enum tag tag, struct record_family *family)
{
    if (family->turn == writer->turn)
        return record_put_varint(to, (uint64_t)family->number << TAG_BITS | tag);
    family->turn = writer->turn;
    family->number = ++writer->families;
    *to++ = (uint8_t)tag;
    to = record_put_varint(to, family->kind);
    to = put_text(to, family->name);
    to = put_text(to, family->unit);
    return put_text(to, family->help);
}

static bool reserve(struct record_writer *writer, size_t bytes)
{
    size_t room = writer->room ? writer->room : 4096;
    uint8_t *larger;

    if (writer->length + bytes <= writer->room)
        return true;
    while (room < writer->length + bytes)
        room *= 2;
    larger = realloc(writer->bytes, room);
    if (!larger)
        return false;
    writer->bytes = larger;
    writer->room = room;
    return true;
}

int record_add(struct record_writer *writer, struct record_family *family, struct record_labels *labels, int64_t time_ms,
               enum record_value kind, uint64_t bits, int64_t start_ms)
{
    const bool new_family = family->turn != writer->turn;
    size_t name = strlen(family->name), expanded = labels->length + name + 64;
    enum tag tag = kind == RECORD_STALENESS ? TAG_STALE : kind == RECORD_U64 ? TAG_INTEGER : TAG_DOUBLE;
    uint8_t *to;

    if (writer->samples == RECORD_SAMPLES_MAX || (writer->samples && writer->expanded + expanded > RECORD_EXPANDED_MAX))
        return 0;
    if (!reserve(writer, labels->length + 10 * RECORD_VARINT_MAX +
                             (new_family ? name + strlen(family->unit) + strlen(family->help) : 0)))
        return -1;
    to = writer->bytes + writer->length;
    if (time_ms != writer->time_ms) {
        *to++ = TAG_TIME;
        to = record_put_varint(to, (uint64_t)time_ms);
        writer->time_ms = time_ms;
    }
    if (labels != writer->labels) {
        to = put_labels(writer, to, labels);
        writer->labels = labels;
    }
    if (tag != TAG_STALE && start_ms)
        tag = tag == TAG_INTEGER ? TAG_INTEGER_START : TAG_DOUBLE_START;
    else if (tag != TAG_STALE && bits == 0) /* of both kinds */
        tag = TAG_ZERO;
    to = put_tag(writer, to, tag, family);
    if (tag == TAG_INTEGER || tag == TAG_INTEGER_START) {
        to = record_put_varint(to, bits);
    } else if (tag == TAG_DOUBLE || tag == TAG_DOUBLE_START) {
        bits = htole64(bits);
        memcpy(to, &bits, sizeof(bits));
        to += sizeof(bits);
    }
    if (tag == TAG_INTEGER_START || tag == TAG_DOUBLE_START)
        to = record_put_varint(to, (uint64_t)start_ms);
    writer->length = (size_t)(to - writer->bytes);
    writer->expanded += expanded;
    writer->samples++;
    return 1;
}

/* ---- Reading --------------------------------------------------------------------------------------------------------------------- */

void record_read(struct record_reader *reader, const uint8_t *payload, size_t length)
{
    reader->at = payload;
    reader->end = payload + length;
    reader->nfamilies = reader->nlabelsets = reader->samples = 0;
    reader->labelset = UINT32_MAX;
    reader->time_ms = 0;
}

static bool get_varint(struct record_reader *reader, uint64_t *value)
{
    const uint8_t *at = record_get_varint(reader->at, reader->end, value);

    if (!at)
        return false;
    reader->at = at;
    return true;
}

static bool get_bytes(struct record_reader *reader, const uint8_t **at, uint32_t *length)
{
    uint64_t want;

    if (!get_varint(reader, &want) || want > (uint64_t)(reader->end - reader->at))
        return false;
    *at = reader->at;
    *length = (uint32_t)want;
    reader->at += want;
    return true;
}

static bool get_text(struct record_reader *reader, struct record_text *text)
{
    const uint8_t *at;

    if (!get_bytes(reader, &at, &text->length))
        return false;
    text->at = (const char *)at;
    return true;
}

static bool get_labels(struct record_reader *reader, uint64_t number)
{
    struct record_labels_view *view;
    uint64_t hash, split;

    if (number) {
        reader->labelset = (uint32_t)number - 1;
        return number <= reader->nlabelsets;
    }
    if (reader->nlabelsets == RECORD_SAMPLES_MAX)
        return false;
    view = &reader->labelsets[reader->nlabelsets];
    if (!get_varint(reader, &hash) || !get_varint(reader, &split) || !get_bytes(reader, &view->bytes, &view->length) ||
        hash > UINT32_MAX || split > view->length)
        return false;
    view->hash = (uint32_t)hash;
    view->split = (uint32_t)split;
    reader->labelset = reader->nlabelsets++;
    return true;
}

static bool get_family(struct record_reader *reader, uint64_t number)
{
    struct record_family_view *view;
    uint64_t kind;

    if (number) {
        reader->family = (uint32_t)number - 1;
        return number <= reader->nfamilies;
    }
    if (reader->nfamilies == RECORD_SAMPLES_MAX)
        return false;
    view = &reader->families[reader->nfamilies];
    if (!get_varint(reader, &kind) || kind > UINT32_MAX || !get_text(reader, &view->name) || !get_text(reader, &view->unit) ||
        !get_text(reader, &view->help))
        return false;
    view->kind = (uint32_t)kind;
    reader->family = reader->nfamilies++;
    return true;
}

static uint64_t double_bits(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static bool get_value(struct record_reader *reader, enum tag tag)
{
    uint64_t number;

    reader->start_ms = 0;
    switch (tag) {
    case TAG_ZERO:
        reader->bits = 0;
        return true;
    case TAG_STALE:
        reader->bits = RECORD_STALE;
        return true;
    case TAG_INTEGER:
    case TAG_INTEGER_START:
        if (!get_varint(reader, &number))
            return false;
        reader->bits = double_bits((double)number);
        break;
    default:
        if (reader->end - reader->at < 8)
            return false;
        memcpy(&reader->bits, reader->at, 8);
        reader->bits = le64toh(reader->bits);
        reader->at += 8;
    }
    if (tag != TAG_INTEGER_START && tag != TAG_DOUBLE_START)
        return true;
    if (!get_varint(reader, &number))
        return false;
    reader->start_ms = (int64_t)number;
    return true;
}

int record_next(struct record_reader *reader)
{
    while (reader->at < reader->end) {
        uint64_t word, number;

        if (!get_varint(reader, &word))
            return -1;
        number = word >> TAG_BITS;
        switch (word & ((1u << TAG_BITS) - 1)) {
        case TAG_LABELS:
            if (!get_labels(reader, number))
                return -1;
            continue;
        case TAG_TIME:
            if (!get_varint(reader, &number))
                return -1;
            reader->time_ms = (int64_t)number;
            continue;
        default:
            if (reader->labelset == UINT32_MAX || reader->samples++ == RECORD_SAMPLES_MAX || !get_family(reader, number) ||
                !get_value(reader, (enum tag)(word & ((1u << TAG_BITS) - 1))))
                return -1;
            return 1;
        }
    }
    return 0;
}

/* ---- Labels ------------------------------------------------------------------------------------------------------------------------ */

/* A field of this tag, in full. */
static const uint8_t *get_field(const uint8_t *at, const uint8_t *end, uint8_t tag, struct record_text *text)
{
    uint64_t length;

    if (at == end || *at != tag || (at = record_get_varint(at + 1, end, &length)) == NULL || length > (uint64_t)(end - at))
        return NULL;
    text->at = (const char *)at;
    text->length = (uint32_t)length;
    return at + length;
}

int record_label_next(const uint8_t **at, const uint8_t *end, struct record_text *name, struct record_text *value)
{
    struct record_text label;
    const uint8_t *next, *inside, *stop;

    if (*at == end)
        return 0;
    next = get_field(*at, end, 0x0a, &label);
    if (!next)
        return -1;
    inside = (const uint8_t *)label.at;
    stop = inside + label.length;
    inside = get_field(inside, stop, 0x0a, name);
    if (!inside || (inside = get_field(inside, stop, 0x12, value)) == NULL || inside != stop)
        return -1;
    *at = next;
    return 1;
}
