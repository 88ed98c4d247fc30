/* record.c - the format of a payload, written and read; README.md describes it. */
#include "record.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* The low three bits of the varint that a sample begins with; the others are the number of its family. */
enum tag {
    TAG_ZERO,          /* an integer, as are the others that are not doubles */
    TAG_INTEGER,       /* varint */
    TAG_DOUBLE,        /* 8 bytes */
    TAG_STALE,
    TAG_INTEGER_START, /* varint, varint: start, ms */
    TAG_DOUBLE_START,
    TAG_DOUBLE_ZERO,
    TAG_EXEMPLAR       /* of the sample before; the other bits are the length of its labels */
};
#define TAG_BITS 3
/* What a block begins with: a time, a label set that follows, or the number of one beyond these. */
enum block { BLOCK_TIME, BLOCK_NEW_LABELS, BLOCK_LABELS };
#define BLOCK_LENGTH 2u /* bytes of a block's length, little-endian */
#define SAMPLE_MAX (3u * RECORD_VARINT_MAX)
#define EXEMPLAR_MAX (3u * RECORD_VARINT_MAX + RECORD_EXEMPLAR_LABELS)
#define BLOCK_ENOUGH 8192u /* bytes of a block beyond which another sample than the one with exemplars begins a new one */

_Static_assert(BLOCK_ENOUGH + RECORD_SAMPLES_MAX * SAMPLE_MAX + RECORD_EXEMPLARS_MAX * EXEMPLAR_MAX <= UINT16_MAX,
               "a block's length has two bytes");

bool record_grow(struct record_buffer *buffer, size_t more)
{
    size_t room = buffer->room ? buffer->room : 4096;
    uint8_t *larger;

    while (room < buffer->length + more)
        room *= 2;
    larger = realloc(buffer->bytes, room);
    if (!larger)
        return false;
    buffer->bytes = larger;
    buffer->room = room;
    return true;
}

/* ---- Writing ------------------------------------------------------------------------------------------------------------- */

void record_writer_init(struct record_writer *writer, size_t headroom)
{
    *writer = (struct record_writer){.headroom = headroom};
}

void record_writer_free(struct record_writer *writer)
{
    free(writer->families.bytes);
    free(writer->body.bytes);
    free(writer->whole.bytes);
    *writer = (struct record_writer){0};
}

void record_begin(struct record_writer *writer)
{
    writer->families.length = writer->body.length = 0;
    writer->expanded = 0;
    writer->samples = writer->nfamilies = writer->nlabelsets = writer->exemplars_of = 0;
    writer->labels = NULL;
    writer->open = false;
    writer->time_ms = INT64_MIN;
    writer->turn++;
}

static uint8_t *put_text(uint8_t *to, const char *text, size_t length)
{
    to = record_put_varint(to, length);
    memcpy(to, text, length);
    return to + length;
}

static bool family_add(struct record_writer *writer, struct record_family *family)
{
    size_t name = strlen(family->name), unit = strlen(family->unit), help = strlen(family->help);
    uint8_t *to;

    if (!record_reserve(&writer->families, 4 * RECORD_VARINT_MAX + name + unit + help))
        return false;
    to = record_put_varint(writer->families.bytes + writer->families.length, family->kind);
    to = put_text(put_text(put_text(to, family->name, name), family->unit, unit), family->help, help);
    writer->families.length = (size_t)(to - writer->families.bytes);
    family->turn = writer->turn;
    family->number = writer->nfamilies++;
    family->name_length = (uint32_t)name;
    return true;
}

static void block_close(struct record_writer *writer)
{
    uint16_t length = htole16((uint16_t)(writer->body.length - writer->block - BLOCK_LENGTH));

    if (writer->open)
        memcpy(writer->body.bytes + writer->block, &length, BLOCK_LENGTH);
}

static bool block_begin(struct record_writer *writer, struct record_labels *labels, int64_t time_ms)
{
    uint8_t *to;

    if (!record_reserve(&writer->body, 6 * RECORD_VARINT_MAX + labels->length + BLOCK_LENGTH))
        return false;
    block_close(writer);
    to = writer->body.bytes + writer->body.length;
    if (time_ms != writer->time_ms) {
        *to++ = BLOCK_TIME;
        to = record_put_varint(to, (uint64_t)time_ms);
    }
    if (labels->turn == writer->turn) {
        to = record_put_varint(to, BLOCK_LABELS + labels->number);
    } else {
        *to++ = BLOCK_NEW_LABELS;
        to = record_put_varint(record_put_varint(to, labels->hash), labels->split);
        to = put_text(to, (const char *)labels->bytes, labels->length);
        labels->turn = writer->turn;
        labels->number = writer->nlabelsets++;
    }
    writer->open = true;
    writer->labels = labels;
    writer->time_ms = time_ms;
    writer->block = (size_t)(to - writer->body.bytes);
    writer->body.length = writer->block + BLOCK_LENGTH;
    return true;
}

int record_add(struct record_writer *writer, struct record_family *family, struct record_labels *labels, int64_t time_ms,
               enum record_value kind, uint64_t bits, int64_t start_ms)
{
    enum tag tag = kind == RECORD_STALENESS ? TAG_STALE : kind == RECORD_U64 ? TAG_INTEGER : TAG_DOUBLE;
    size_t expanded;
    uint8_t *to;

    if (family->turn != writer->turn && !family_add(writer, family))
        return -1;
    expanded = labels->length + family->name_length + 64;
    if (writer->samples == RECORD_SAMPLES_MAX || (writer->samples && writer->expanded + expanded > RECORD_EXPANDED_MAX))
        return 0;
    if (((labels != writer->labels || time_ms != writer->time_ms) && !block_begin(writer, labels, time_ms)) ||
        !record_reserve(&writer->body, SAMPLE_MAX))
        return -1;
    if (tag != TAG_STALE && start_ms)
        tag = tag == TAG_INTEGER ? TAG_INTEGER_START : TAG_DOUBLE_START;
    else if (tag != TAG_STALE && bits == 0)
        tag = tag == TAG_INTEGER ? TAG_ZERO : TAG_DOUBLE_ZERO;
    to = record_put_varint(writer->body.bytes + writer->body.length, (uint64_t)family->number << TAG_BITS | tag);
    if (tag == TAG_INTEGER || tag == TAG_INTEGER_START) {
        to = record_put_varint(to, bits);
    } else if (tag == TAG_DOUBLE || tag == TAG_DOUBLE_START) {
        bits = htole64(bits);
        memcpy(to, &bits, sizeof(bits));
        to += sizeof(bits);
    }
    if (tag == TAG_INTEGER_START || tag == TAG_DOUBLE_START)
        to = record_put_varint(to, (uint64_t)start_ms);
    writer->body.length = (size_t)(to - writer->body.bytes);
    writer->expanded += expanded;
    writer->samples++;
    return 1;
}

int record_add_exemplar(struct record_writer *writer, int64_t time_ms, uint64_t bits, const uint8_t *labels, size_t length)
{
    uint8_t *to;

    if (writer->exemplars_of != writer->samples) {
        writer->exemplars_of = writer->samples;
        writer->exemplars = 0;
    }
    if (!writer->samples || writer->exemplars == RECORD_EXEMPLARS_MAX || length > RECORD_EXEMPLAR_LABELS)
        return 0;
    if (!record_reserve(&writer->body, EXEMPLAR_MAX))
        return -1;
    to = record_put_varint(writer->body.bytes + writer->body.length, (uint64_t)length << TAG_BITS | TAG_EXEMPLAR);
    to = record_put_varint(to, (uint64_t)time_ms);
    bits = htole64(bits);
    to = (uint8_t *)memcpy(to, &bits, sizeof(bits)) + sizeof(bits);
    if (length)
        to = (uint8_t *)memcpy(to, labels, length) + length;
    writer->body.length = (size_t)(to - writer->body.bytes);
    writer->expanded += length + 64;
    writer->exemplars++;
    if (writer->body.length - writer->block > BLOCK_ENOUGH)
        writer->labels = NULL;
    return 1;
}

uint8_t *record_end(struct record_writer *writer, size_t *length)
{
    uint8_t *payload, *to;

    block_close(writer);
    writer->whole.length = 0;
    if (!record_reserve(&writer->whole, writer->headroom + RECORD_VARINT_MAX + writer->families.length + writer->body.length))
        return NULL;
    payload = writer->whole.bytes + writer->headroom;
    to = record_put_varint(payload, writer->nfamilies);
    if (writer->families.length)
        memcpy(to, writer->families.bytes, writer->families.length);
    to += writer->families.length;
    if (writer->body.length)
        memcpy(to, writer->body.bytes, writer->body.length);
    *length = (size_t)(to - payload) + writer->body.length;
    return payload;
}

/* ---- Reading ------------------------------------------------------------------------------------------------------------- */

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

bool record_read(struct record_reader *reader, const uint8_t *payload, size_t length)
{
    uint64_t families, kind;

    reader->at = payload;
    reader->end = payload + length;
    reader->block = reader->block_end = NULL;
    reader->nfamilies = reader->nlabelsets = reader->nexemplars = reader->samples = 0;
    reader->time_ms = 0;
    if (!get_varint(reader, &families) || families > RECORD_SAMPLES_MAX)
        return false;
    for (; reader->nfamilies < families; reader->nfamilies++) {
        struct record_family_view *view = &reader->families[reader->nfamilies];

        if (!get_varint(reader, &kind) || kind > UINT32_MAX || !get_text(reader, &view->name) || !get_text(reader, &view->unit) ||
            !get_text(reader, &view->help))
            return false;
        view->kind = (uint32_t)kind;
    }
    return true;
}

static bool get_labels(struct record_reader *reader)
{
    struct record_labels_view *view = &reader->labelsets[reader->nlabelsets];
    uint64_t hash, split;

    if (reader->nlabelsets == RECORD_SAMPLES_MAX || !get_varint(reader, &hash) || !get_varint(reader, &split) ||
        !get_bytes(reader, &view->bytes, &view->length) || hash > UINT32_MAX || split > view->length)
        return false;
    view->hash = (uint32_t)hash;
    view->split = (uint32_t)split;
    reader->labelset = reader->nlabelsets++;
    return true;
}

int record_block(struct record_reader *reader)
{
    while (reader->at < reader->end) {
        uint64_t word, time_ms;
        uint16_t length;

        if (!get_varint(reader, &word))
            return -1;
        if (word == BLOCK_TIME) {
            if (!get_varint(reader, &time_ms))
                return -1;
            reader->time_ms = (int64_t)time_ms;
            continue;
        }
        if (word == BLOCK_NEW_LABELS ? !get_labels(reader) : word - BLOCK_LABELS >= reader->nlabelsets)
            return -1;
        if (word != BLOCK_NEW_LABELS)
            reader->labelset = (uint32_t)(word - BLOCK_LABELS);
        if (reader->end - reader->at < (ptrdiff_t)BLOCK_LENGTH)
            return -1;
        memcpy(&length, reader->at, BLOCK_LENGTH);
        reader->block = reader->at + BLOCK_LENGTH;
        if (le16toh(length) > reader->end - reader->block)
            return -1;
        reader->at = reader->block_end = reader->block + le16toh(length);
        return 1;
    }
    return 0;
}

/* Returns what is behind it; NULL: it is none. */
static const uint8_t *get_exemplar(const uint8_t *at, const uint8_t *end, struct record_exemplar *exemplar)
{
    struct record_text name, value;
    const uint8_t *labels;
    uint64_t word, time_ms;
    int status;

    at = record_get_varint(at, end, &word);
    if (!at || word >> TAG_BITS > RECORD_EXEMPLAR_LABELS || (at = record_get_varint(at, end, &time_ms)) == NULL ||
        (uint64_t)(end - at) < sizeof(exemplar->bits) + (word >> TAG_BITS))
        return NULL;
    memcpy(&exemplar->bits, at, sizeof(exemplar->bits));
    exemplar->bits = le64toh(exemplar->bits);
    exemplar->time_ms = (int64_t)time_ms;
    exemplar->labels = labels = at + sizeof(exemplar->bits);
    exemplar->length = (uint32_t)(word >> TAG_BITS);
    do
        status = record_label_next(&labels, exemplar->labels + exemplar->length, &name, &value);
    while (status > 0);
    return status < 0 ? NULL : labels;
}

static bool is_exemplar(const uint8_t *at, const uint8_t *end)
{
    return at != end && (*at & ((1u << TAG_BITS) - 1)) == TAG_EXEMPLAR;
}

/* Passes those behind a sample, up to one that is none, or one too many: as a sample, that is none either.  Few samples have one: all
 * others are faster with this out of the way. */
__attribute__((noinline, cold)) static const uint8_t *get_exemplars(struct record_reader *reader, const uint8_t *at,
                                                                    const uint8_t *end, struct record_sample *sample)
{
    const uint8_t *begin = at, *next;
    struct record_exemplar exemplar;

    for (unsigned n = 0; n < RECORD_EXEMPLARS_MAX && is_exemplar(at, end); n++) {
        next = get_exemplar(at, end, &exemplar);
        if (!next)
            break;
        at = next;
    }
    if (at == begin)
        return at;
    reader->exemplars[reader->nexemplars] = (struct record_exemplars){begin, at};
    sample->exemplars = (uint16_t)++reader->nexemplars;
    return at;
}

bool record_exemplar_next(struct record_exemplars *exemplars, struct record_exemplar *exemplar)
{
    if (exemplars->at == exemplars->end)
        return false;
    exemplars->at = get_exemplar(exemplars->at, exemplars->end, exemplar);
    return true;
}

int record_sample(struct record_reader *reader, struct record_sample *sample)
{
    const uint8_t *at = reader->block, *end = reader->block_end;
    uint64_t word, number;
    unsigned tag;

    if (at == end)
        return 0;
    at = record_get_varint(at, end, &word);
    if (!at || word >> TAG_BITS >= reader->nfamilies || reader->samples++ == RECORD_SAMPLES_MAX)
        return -1;
    tag = word & ((1u << TAG_BITS) - 1);
    sample->family = (uint16_t)(word >> TAG_BITS);
    sample->labelset = (uint16_t)reader->labelset;
    sample->exemplars = 0;
    sample->kind = RECORD_U64;
    sample->time_ms = reader->time_ms;
    sample->start_ms = 0;
    switch (tag) {
    case TAG_DOUBLE_ZERO:
        sample->kind = RECORD_F64;
        sample->bits = 0;
        break;
    case TAG_ZERO:
        sample->bits = 0;
        break;
    case TAG_STALE:
        sample->kind = RECORD_STALENESS;
        sample->bits = RECORD_STALE;
        break;
    case TAG_INTEGER:
    case TAG_INTEGER_START:
        at = record_get_varint(at, end, &sample->bits);
        if (!at)
            return -1;
        break;
    case TAG_DOUBLE:
    case TAG_DOUBLE_START:
        if (end - at < 8)
            return -1;
        sample->kind = RECORD_F64;
        memcpy(&sample->bits, at, 8);
        sample->bits = le64toh(sample->bits);
        at += 8;
        break;
    default:
        return -1;
    }
    if (tag == TAG_INTEGER_START || tag == TAG_DOUBLE_START) {
        at = record_get_varint(at, end, &number);
        if (!at)
            return -1;
        sample->start_ms = (int64_t)number;
    }
    reader->block = is_exemplar(at, end) ? get_exemplars(reader, at, end, sample) : at;
    return 1;
}

/* ---- Labels -------------------------------------------------------------------------------------------------------------- */

uint8_t *record_put_label(uint8_t *to, const char *name, const char *value)
{
    const size_t n = strlen(name), v = strlen(value);

    *to++ = 0x0a;
    to = record_put_varint(to, 2 + record_varint_length(n) + n + record_varint_length(v) + v);
    *to++ = 0x0a;
    to = put_text(to, name, n);
    *to++ = 0x12;
    return put_text(to, value, v);
}

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
