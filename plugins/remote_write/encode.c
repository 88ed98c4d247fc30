/* encode.c - bodies of remote write, put together from bytes that are ready; encode.h says which. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "encode.h"

#include "compress.h"

#include <weir_plugin.h>

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define NAME "__name__"
#define HEAD_MAX 24u   /* bytes in front of a series' labels */
#define SAMPLE_MAX 64u /* bytes of a sample with its frames */
#define FRAME 3u       /* bytes between labels and value */
#define PIECES 14u     /* of a series, at most */
#define EXEMPLAR_MAX (2 * RECORD_VARINT_MAX + 9 + 1 + RECORD_VARINT_MAX) /* bytes of an exemplar beside its labels */
#define TOLD_MAX 16384u
#define TELL_AGAIN_MS 300000

struct symbol { /* of 2.0; ref 0: free, for "" is not looked up */
    uint32_t ref, hash, offset, length;
};
struct told { /* 1.0: when a family's metadata was told; 0: free */
    uint64_t hash;
    int64_t at_ms;
};
struct family { /* of a record, as this request has it; places are those in the body, of its last series */
    struct record_family_view view;
    uint32_t offset, length; /* in `names`: 1.0: the field with __name__; 2.0: its two references, */
    uint32_t metadata;       /* and behind them the field with so many bytes of metadata */
    bool known;
    size_t head, labels, rest;     /* bytes in front of the labels, of them, and behind them */
    size_t at, name_at, behind_at; /* head, name, and what is behind the value */
    int64_t time_ms, start_ms;
};
struct shown { /* a series of a label set */
    size_t before_at, after_at; /* its labels */
    uint64_t bits;
    size_t length;              /* of its sample */
};
struct labelset { /* of a record, as this request has it: what of its labels, or references, stands before and behind __name__ */
    size_t offset; /* in the flight, or in `refs` */
    uint32_t split, length;
    bool known;
    struct shown zero, value; /* its last series with this value 0, and with another */
};
struct encoder {
    struct parts_reader reader;
    struct compressor series;
    struct record_buffer symbols, refs, names, metadata;
    struct record_buffer exemplars; /* of a series */
    struct family families[RECORD_SAMPLES_MAX];
    uint32_t nfamilies; /* the most that a record of the request had */
    struct labelset labelsets[RECORD_SAMPLES_MAX];
    struct labelset last; /* that was shown for the first time */
    struct symbol *table;
    size_t table_size; /* a power of two */
    uint32_t nsymbols, name_symbol;
    struct told *told;
    size_t told_size, ntold; /* a power of two; at most half of it */
    uint8_t time[RECORD_VARINT_MAX]; /* of the last sample */
    size_t time_length;
    int64_t time_ms;
};

static const uint8_t kinds[] = {[WEIR_UNKNOWN] = 0, [WEIR_GAUGE] = 2, [WEIR_COUNTER] = 1, [WEIR_INFO] = 6, [WEIR_HISTOGRAM] = 3,
                                [WEIR_SUMMARY] = 5}; /* the numbers of MetricType, in both versions */

struct encoder *encoder_new(void)
{
    return calloc(1, sizeof(struct encoder));
}

void encoder_free(struct encoder *encoder)
{
    if (!encoder)
        return;
    compress_free(&encoder->series);
    free(encoder->symbols.bytes);
    free(encoder->refs.bytes);
    free(encoder->names.bytes);
    free(encoder->metadata.bytes);
    free(encoder->exemplars.bytes);
    free(encoder->table);
    free(encoder->told);
    free(encoder);
}

static uint8_t kind_of(uint32_t kind)
{
    return kind < sizeof(kinds) ? kinds[kind] : 0;
}

/* ---- Pieces -------------------------------------------------------------------------------------------------------------- */

static uint8_t *put_bytes(uint8_t *to, const void *bytes, size_t length)
{
    memcpy(to, bytes, length);
    return to + length;
}

static uint8_t *put_field(uint8_t *to, uint8_t tag, const struct record_text *text)
{
    *to++ = tag;
    to = record_put_varint(to, text->length);
    return put_bytes(to, text->at, text->length);
}

static void time_put(struct encoder *encoder, int64_t time_ms)
{
    if (encoder->time_ms == time_ms && encoder->time_length)
        return;
    encoder->time_ms = time_ms;
    encoder->time_length = (size_t)(record_put_varint(encoder->time, (uint64_t)encoder->time_ms) - encoder->time);
}

/* ---- 1.0 ----------------------------------------------------------------------------------------------------------------- */

/* Whether a family's metadata is due; it counts as told. */
static bool told_is_due(struct encoder *encoder, const struct record_text *name, int64_t now_ms)
{
    uint64_t hash = XXH3_64bits(name->at, name->length) | 1;

    if (encoder->ntold * 2 >= encoder->told_size) {
        size_t size = encoder->told_size ? encoder->told_size * 2 : 256;
        struct told *larger;

        /* So many names come from nowhere but a rule that makes them of values. */
        if (size > TOLD_MAX)
            size = 256;
        larger = calloc(size, sizeof(*larger));
        if (!larger)
            return false;
        for (size_t i = 0; size > encoder->told_size && i < encoder->told_size; i++) {
            size_t at = encoder->told[i].hash;

            while (encoder->told[i].hash && larger[at & (size - 1)].hash)
                at++;
            larger[at & (size - 1)] = encoder->told[i];
        }
        if (size < encoder->told_size)
            encoder->ntold = 0;
        free(encoder->told);
        encoder->told = larger;
        encoder->told_size = size;
    }
    for (size_t at = hash;; at++) {
        struct told *told = &encoder->told[at & (encoder->told_size - 1)];

        if (told->hash == hash && now_ms - told->at_ms < TELL_AGAIN_MS && now_ms >= told->at_ms)
            return false;
        if (told->hash && told->hash != hash)
            continue;
        encoder->ntold += !told->hash;
        *told = (struct told){hash, now_ms};
        return true;
    }
}

/* WriteRequest.metadata = 3; MetricMetadata: type = 1, metric_family_name = 2, help = 4, unit = 5. */
static bool metadata_put(struct encoder *encoder, const struct record_text *name, const struct record_family_view *view)
{
    size_t length = 2 + (1 + record_varint_length(name->length) + name->length);
    uint8_t *to;

    length += view->help.length ? 1 + record_varint_length(view->help.length) + view->help.length : 0;
    length += view->unit.length ? 1 + record_varint_length(view->unit.length) + view->unit.length : 0;
    if (!record_reserve(&encoder->metadata, length + 1 + RECORD_VARINT_MAX))
        return false;
    to = encoder->metadata.bytes + encoder->metadata.length;
    *to++ = 0x1a;
    to = record_put_varint(to, length);
    *to++ = 0x08;
    *to++ = kind_of(view->kind);
    to = put_field(to, 0x12, name);
    if (view->help.length)
        to = put_field(to, 0x22, &view->help);
    if (view->unit.length)
        to = put_field(to, 0x2a, &view->unit);
    encoder->metadata.length = (size_t)(to - encoder->metadata.bytes);
    return true;
}

/* That which a part of a histogram or summary has metadata under: x of x_bucket, x_sum and x_count. */
static struct record_text whole_name(const struct record_family_view *view)
{
    static const char *const ends[] = {"_bucket", "_sum", "_count"};
    struct record_text name = view->name;

    if (view->kind != WEIR_HISTOGRAM && view->kind != WEIR_SUMMARY)
        return name;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        const uint32_t length = (uint32_t)strlen(ends[i]);

        if (name.length > length && memcmp(name.at + name.length - length, ends[i], length) == 0) {
            name.length -= length;
            break;
        }
    }
    return name;
}

/* The field with __name__, and the metadata if they are due. */
static bool family_1(struct encoder *encoder, struct family *family, const struct record_family_view *view, int64_t now_ms)
{
    const struct record_text name = {NAME, sizeof(NAME) - 1}, whole = whole_name(view);
    size_t length = 2 + name.length + 1 + record_varint_length(view->name.length) + view->name.length;
    uint8_t *to;

    if (!record_reserve(&encoder->names, length + 1 + RECORD_VARINT_MAX))
        return false;
    to = encoder->names.bytes + encoder->names.length;
    family->offset = (uint32_t)encoder->names.length;
    *to++ = 0x0a;
    to = record_put_varint(to, length);
    to = put_field(to, 0x0a, &name);
    to = put_field(to, 0x12, &view->name);
    encoder->names.length = (size_t)(to - encoder->names.bytes);
    family->length = (uint32_t)(encoder->names.length - family->offset);
    family->metadata = 0;
    return !told_is_due(encoder, &whole, now_ms) || metadata_put(encoder, &whole, view);
}

static void labelset_1(struct labelset *labelset, const struct queue_flight *flight, const struct record_labels_view *view)
{
    labelset->offset = (size_t)(view->bytes - flight->bytes);
    labelset->split = view->split;
    labelset->length = view->length;
}

/* ---- 2.0 ----------------------------------------------------------------------------------------------------------------- */

static bool table_grow(struct encoder *encoder)
{
    size_t size = encoder->table_size ? encoder->table_size * 2 : 1024;
    struct symbol *larger = calloc(size, sizeof(*larger));

    if (!larger)
        return false;
    for (size_t i = 0; i < encoder->table_size; i++) {
        size_t at = encoder->table[i].hash;

        if (!encoder->table[i].ref)
            continue;
        while (larger[at & (size - 1)].ref)
            at++;
        larger[at & (size - 1)] = encoder->table[i];
    }
    free(encoder->table);
    encoder->table = larger;
    encoder->table_size = size;
    return true;
}

/* The number of a text in the request's table of symbols, field 4; that of "" is 0. */
static bool symbol_of(struct encoder *encoder, const struct record_text *text, uint32_t *ref)
{
    uint32_t hash = (uint32_t)XXH3_64bits(text->at, text->length);
    struct symbol *symbol;
    uint8_t *to;

    *ref = 0;
    if (!text->length)
        return true;
    if (encoder->nsymbols * 2ul >= encoder->table_size && !table_grow(encoder))
        return false;
    for (size_t at = hash;; at++) {
        symbol = &encoder->table[at & (encoder->table_size - 1)];
        if (!symbol->ref)
            break;
        if (symbol->hash == hash && symbol->length == text->length &&
            memcmp(encoder->symbols.bytes + symbol->offset, text->at, text->length) == 0) {
            *ref = symbol->ref;
            return true;
        }
    }
    if (!record_reserve(&encoder->symbols, text->length + 1 + RECORD_VARINT_MAX))
        return false;
    to = put_field(encoder->symbols.bytes + encoder->symbols.length, 0x22, text);
    encoder->symbols.length = (size_t)(to - encoder->symbols.bytes);
    *symbol = (struct symbol){.ref = ++encoder->nsymbols, .hash = hash, .length = text->length,
                              .offset = (uint32_t)(encoder->symbols.length - text->length)};
    *ref = symbol->ref;
    return true;
}

static bool request_2(struct encoder *encoder)
{
    static const struct record_text name = {NAME, sizeof(NAME) - 1};

    if (encoder->table_size)
        memset(encoder->table, 0, encoder->table_size * sizeof(*encoder->table));
    encoder->nsymbols = 0;
    if (!record_reserve(&encoder->symbols, 2))
        return false;
    memcpy(encoder->symbols.bytes, "\x22", 2); /* the first symbol is "" */
    encoder->symbols.length = 2;
    return symbol_of(encoder, &name, &encoder->name_symbol);
}

/* TimeSeries.metadata = 5; Metadata: type = 1, help_ref = 3, unit_ref = 4. */
static bool family_2(struct encoder *encoder, struct family *family, const struct record_family_view *view)
{
    uint32_t name, help, unit;
    size_t length;
    uint8_t *to;

    if (!symbol_of(encoder, &view->name, &name) || !symbol_of(encoder, &view->help, &help) ||
        !symbol_of(encoder, &view->unit, &unit) || !record_reserve(&encoder->names, 6 * RECORD_VARINT_MAX))
        return false;
    family->offset = (uint32_t)encoder->names.length;
    to = encoder->names.bytes + family->offset;
    to = record_put_varint(record_put_varint(to, encoder->name_symbol), name);
    family->length = (uint32_t)(to - encoder->names.bytes) - family->offset;
    length = 2 + (help ? 1 + record_varint_length(help) : 0) + (unit ? 1 + record_varint_length(unit) : 0);
    *to++ = 0x2a;
    *to++ = (uint8_t)length;
    *to++ = 0x08;
    *to++ = kind_of(view->kind);
    if (help) {
        *to++ = 0x18;
        to = record_put_varint(to, help);
    }
    if (unit) {
        *to++ = 0x20;
        to = record_put_varint(to, unit);
    }
    family->metadata = (uint32_t)length + 2;
    encoder->names.length = (size_t)(to - encoder->names.bytes);
    return true;
}

/* Adds a label's references to what is in `refs`. */
static bool label_2(struct encoder *encoder, const struct record_text *name, const struct record_text *value)
{
    uint32_t refs[2];
    uint8_t *to;

    if (!symbol_of(encoder, name, &refs[0]) || !symbol_of(encoder, value, &refs[1]) ||
        !record_reserve(&encoder->refs, 2 * RECORD_VARINT_MAX))
        return false;
    to = record_put_varint(record_put_varint(encoder->refs.bytes + encoder->refs.length, refs[0]), refs[1]);
    encoder->refs.length = (size_t)(to - encoder->refs.bytes);
    return true;
}

static bool labelset_2(struct encoder *encoder, struct labelset *labelset, const struct record_labels_view *view)
{
    const uint8_t *at = view->bytes;
    struct record_text name, value;

    labelset->offset = encoder->refs.length;
    labelset->split = 0;
    while (record_label_next(&at, view->bytes + view->length, &name, &value) > 0) {
        if (!label_2(encoder, &name, &value))
            return false;
        if (at <= view->bytes + view->split)
            labelset->split = (uint32_t)(encoder->refs.length - labelset->offset);
    }
    labelset->length = (uint32_t)(encoder->refs.length - labelset->offset);
    return true;
}

/* ---- Exemplars ----------------------------------------------------------------------------------------------------------- */

/* TimeSeries.exemplars = 3, with fields for labels; in 2.0 4, with labels_refs = 1; Exemplar: value = 2, timestamp = 3. */
static bool exemplar_put(struct encoder *encoder, enum protocol protocol, const struct record_exemplar *exemplar)
{
    const size_t refs = encoder->refs.length, time = record_varint_length((uint64_t)exemplar->time_ms);
    const uint64_t bits = htole64(exemplar->bits);
    const uint8_t *labels = exemplar->labels, *end = labels + exemplar->length;
    size_t length = exemplar->length, head = 0;
    struct record_text name, value;
    uint8_t *to;

    if (protocol == PROTOCOL_2) {
        for (const uint8_t *at = labels; record_label_next(&at, end, &name, &value) > 0;)
            if (!label_2(encoder, &name, &value))
                return false;
        length = encoder->refs.length - refs;
        labels = encoder->refs.bytes + refs;
        head = length ? 1 + record_varint_length(length) : 0;
        encoder->refs.length = refs; /* they are nobody else's */
    }
    if (!record_reserve(&encoder->exemplars, EXEMPLAR_MAX + length))
        return false;
    to = encoder->exemplars.bytes + encoder->exemplars.length;
    *to++ = protocol == PROTOCOL_1 ? 0x1a : 0x22;
    to = record_put_varint(to, head + length + 9 + 1 + time);
    if (head) {
        *to++ = 0x0a;
        to = record_put_varint(to, length);
    }
    if (length)
        to = put_bytes(to, labels, length);
    *to++ = 0x11;
    to = put_bytes(to, &bits, sizeof(bits));
    *to++ = 0x18;
    to = record_put_varint(to, (uint64_t)exemplar->time_ms);
    encoder->exemplars.length = (size_t)(to - encoder->exemplars.bytes);
    return true;
}

__attribute__((noinline, cold)) static bool exemplars_put(struct encoder *encoder, enum protocol protocol,
                                                          const struct record_sample *sample)
{
    struct record_exemplars left = record_exemplars(&encoder->reader.record, sample);
    struct record_exemplar exemplar;

    while (record_exemplar_next(&left, &exemplar))
        if (!exemplar_put(encoder, protocol, &exemplar))
            return false;
    return true;
}

/* ---- Series ---------------------------------------------------------------------------------------------------------------- */

static bool is_same(const struct record_text *a, const struct record_text *b)
{
    return a->length == b->length && memcmp(a->at, b->at, a->length) == 0;
}

/* What there is of a family in this request; one of the record before, at the same place, counts. */
static bool family_know(struct encoder *encoder, enum protocol protocol, struct family *family, int64_t now_ms)
{
    const struct record_family_view *view = &encoder->reader.record.families[family - encoder->families];

    if (family->at != COMPRESS_NOWHERE && family->view.kind == view->kind && is_same(&family->view.name, &view->name) &&
        is_same(&family->view.help, &view->help) && is_same(&family->view.unit, &view->unit)) {
        family->known = true;
        return true;
    }
    family->at = family->name_at = family->behind_at = COMPRESS_NOWHERE;
    family->labels = 0;
    family->view = *view;
    family->known = protocol == PROTOCOL_1 ? family_1(encoder, family, view, now_ms) : family_2(encoder, family, view);
    return family->known;
}

static bool labelset_know(struct encoder *encoder, enum protocol protocol, struct labelset *labelset,
                          const struct queue_flight *flight)
{
    const struct record_labels_view *view = &encoder->reader.record.labelsets[labelset - encoder->labelsets];

    labelset->zero.after_at = labelset->value.after_at = COMPRESS_NOWHERE;
    labelset->known = true;
    if (protocol == PROTOCOL_1)
        labelset_1(labelset, flight, view);
    else
        labelset->known = labelset_2(encoder, labelset, view);
    return labelset->known;
}

/* In front of the labels.  1.0: WriteRequest.timeseries = 1, with fields for labels; 2.0: Request.timeseries = 5, with labels_refs = 1. */
static size_t head_put(uint8_t *head, enum protocol protocol, size_t labels, size_t rest)
{
    uint8_t *to = head;

    *to++ = protocol == PROTOCOL_1 ? 0x0a : 0x2a;
    if (protocol == PROTOCOL_1)
        return (size_t)(record_put_varint(to, labels + rest) - head);
    to = record_put_varint(to, 1 + record_varint_length(labels) + labels + rest);
    *to++ = 0x0a;
    return (size_t)(record_put_varint(to, labels) - head);
}

/* Head and labels.  The label set's first series has them as another one's first has; one behind it, as that: `as`. */
static void labels_put(struct encoder *encoder, enum protocol protocol, const uint8_t *base, struct labelset *labelset,
                       struct family *family, size_t rest, const struct shown *as, struct shown *shown)
{
    struct compressor *to = &encoder->series;
    struct labelset *last = &encoder->last;
    const uint8_t *labels = base + labelset->offset, *others = base + last->offset;
    const uint32_t split = labelset->split;
    const size_t length = labelset->length + family->length, at = to->raw;
    uint8_t head[HEAD_MAX];
    const size_t head_length = head_put(head, protocol, length, rest);

    compress_again(to, head, head_length, length == family->labels && rest == family->rest ? family->at : COMPRESS_NOWHERE);
    shown->before_at = to->raw;
    if (as)
        compress_again(to, labels, split, as->before_at);
    else
        compress_like(to, labels, split, others, last->split, last->value.before_at);
    family->at = at;
    family->head = head_length;
    family->labels = length;
    family->rest = rest;
    compress_again(to, encoder->names.bytes + family->offset, family->length, family->name_at);
    family->name_at = to->raw - family->length;
    shown->after_at = to->raw;
    if (as)
        compress_again(to, labels + split, labelset->length - split, as->after_at);
    else
        compress_like(to, labels + split, labelset->length - split, others + last->split, last->length - last->split,
                      last->value.after_at);
    if (as)
        return;
    *last = *labelset;
    last->value = *shown;
}

/* Sample, of both versions, is field 2 of a series: value = 1, timestamp = 2; 2.0: start_timestamp = 3.  Then exemplars, and 2.0's
 * metadata. */
static void sample_put(struct encoder *encoder, uint64_t value, size_t length, int64_t start_ms, struct family *family)
{
    const uint64_t bits = htole64(value);
    const struct record_buffer *exemplars = &encoder->exemplars;
    const bool alike = family->time_ms == encoder->time_ms && family->start_ms == start_ms && !exemplars->length;
    const size_t as = alike ? family->behind_at : COMPRESS_NOWHERE;
    uint8_t text[2 * SAMPLE_MAX] = {0x12, (uint8_t)length, 0x09}, *to = text + FRAME, *behind;

    to = behind = put_bytes(to, &bits, sizeof(bits));
    compress_literal(&encoder->series, text, (size_t)(to - text));
    *to++ = 0x10;
    to = put_bytes(to, encoder->time, encoder->time_length);
    if (start_ms) {
        *to++ = 0x18;
        to = record_put_varint(to, (uint64_t)start_ms);
    }
    if (exemplars->length) {
        compress_literal(&encoder->series, behind, (size_t)(to - behind));
        compress_literal(&encoder->series, exemplars->bytes, exemplars->length);
        behind = to;
    }
    to = put_bytes(to, encoder->names.bytes + family->offset + family->length, family->metadata);
    family->behind_at = encoder->series.raw;
    family->time_ms = encoder->time_ms;
    family->start_ms = start_ms;
    compress_again(&encoder->series, behind, (size_t)(to - behind), as);
}

/* A series of which all but the value stands already: what is in front of the labels and behind the value in the family's last one,
 * the labels in the label set's. */
static void series_again(struct encoder *encoder, const struct labelset *labelset, struct family *family, const struct shown *as,
                         struct shown *shown, size_t behind)
{
    struct compressor *to = &encoder->series;
    const uint64_t bits = htole64(shown->bits), differ = shown->bits ^ as->bits;
    const size_t same = differ ? (size_t)__builtin_ctzll(differ) / 8 : sizeof(bits), at = to->raw;

    compress_copy(to, family->head + family->length, family->at);
    family->at = at;
    family->name_at = at + family->head;
    shown->before_at = shown->after_at = to->raw;
    compress_copy(to, labelset->length + FRAME + same, as->after_at);
    compress_literal(to, (const uint8_t *)&bits + same, sizeof(bits) - same);
    compress_copy(to, behind, family->behind_at);
    family->behind_at = to->raw - behind;
}

/* Whether it may go so: what is copied has the same lengths in it, stands together, and is near. */
static bool is_again(const struct encoder *encoder, const struct labelset *labelset, const struct family *family,
                     const struct shown *as, size_t length, size_t rest, int64_t start_ms)
{
    const size_t labels = labelset->length + family->length;

    return as && as->length == length && family->labels == labels && family->rest == rest && family->time_ms == encoder->time_ms &&
           family->start_ms == start_ms && !labelset->split && family->name_at == family->at + family->head &&
           labels < COMPRESS_NEAR / 2 && compress_is_near(&encoder->series, family->at) &&
           compress_is_near(&encoder->series, as->after_at);
}

static bool series_put(struct encoder *encoder, enum protocol protocol, const struct queue_flight *flight,
                       const struct record_sample *sample, int64_t now_ms)
{
    struct family *family = &encoder->families[sample->family];
    struct labelset *labelset = &encoder->labelsets[sample->labelset];
    const int64_t start_ms = protocol == PROTOCOL_2 ? sample->start_ms : 0;
    const size_t length = 10 + encoder->time_length + (start_ms ? 1 + record_varint_length((uint64_t)start_ms) : 0);
    struct shown now = {.bits = record_sample_bits(sample), .length = length};
    struct shown *shown = now.bits ? &labelset->value : &labelset->zero, *other = now.bits ? &labelset->zero : &labelset->value;
    const struct shown *as;
    struct family apart; /* one with exemplars is like no other of its family, and none is like it */
    size_t rest;

    if ((!family->known && !family_know(encoder, protocol, family, now_ms)) ||
        (!labelset->known && !labelset_know(encoder, protocol, labelset, flight)))
        return false;
    encoder->exemplars.length = 0;
    if (sample->exemplars) {
        if (!exemplars_put(encoder, protocol, sample))
            return false;
        apart = *family;
        family = &apart;
    }
    rest = 2 + length + encoder->exemplars.length + family->metadata;
    if (!compress_reserve(&encoder->series, HEAD_MAX + labelset->length + family->length + rest, PIECES))
        return false;
    as = shown->after_at != COMPRESS_NOWHERE ? shown : other->after_at != COMPRESS_NOWHERE ? other : NULL;
    if (is_again(encoder, labelset, family, as, length, rest, start_ms)) {
        series_again(encoder, labelset, family, as, &now, rest - FRAME - sizeof(now.bits));
    } else {
        labels_put(encoder, protocol, protocol == PROTOCOL_1 ? flight->bytes : encoder->refs.bytes, labelset, family, rest, as,
                   &now);
        sample_put(encoder, now.bits, length, start_ms, family);
    }
    *shown = now;
    return true;
}

/* ---- Requests ------------------------------------------------------------------------------------------------------------ */

/* A record's samples, as far as the window goes; below 0: no memory. */
static int encode_record(struct encoder *encoder, enum protocol protocol, const struct queue_flight *flight,
                         const struct parts_window *window, struct parts_body *out)
{
    const struct parts_reader *reader = &encoder->reader;

    for (; encoder->nfamilies < reader->record.nfamilies; encoder->nfamilies++)
        encoder->families[encoder->nfamilies].at = COMPRESS_NOWHERE;
    for (uint32_t i = 0; i < reader->record.nfamilies; i++)
        encoder->families[i].known = false;
    for (uint32_t i = 0; i < reader->record.nlabelsets; i++)
        encoder->labelsets[i].known = false;
    for (uint32_t i = reader->first; i < reader->count; i++) {
        const struct record_sample *sample = &reader->samples[i];

        if (out->samples == window->max_samples ||
            (out->samples && encoder->series.raw + encoder->symbols.length + encoder->metadata.length > window->max_bytes)) {
            out->more = true;
            return 0;
        }
        time_put(encoder, sample->time_ms);
        if (!series_put(encoder, protocol, flight, sample, window->now_ms))
            return -1;
        out->samples++;
    }
    return 0;
}

int encode(struct encoder *encoder, enum protocol protocol, const struct queue_flight *flight, const struct parts_window *window,
           struct parts_body *out)
{
    *out = (struct parts_body){0};
    encoder->reader.next = encoder->reader.passed = 0;
    encoder->symbols.length = encoder->refs.length = encoder->names.length = encoder->metadata.length = 0;
    encoder->last = (struct labelset){.value = {.before_at = COMPRESS_NOWHERE, .after_at = COMPRESS_NOWHERE}};
    encoder->nfamilies = 0;
    compress_begin(&encoder->series);
    if (protocol == PROTOCOL_2 && !request_2(encoder))
        return -1;
    while (!out->more && parts_next(&encoder->reader, flight, window))
        if (encode_record(encoder, protocol, flight, window, out) < 0)
            return -1;
    if (!out->samples)
        return 0;
    out->raw_length = encoder->symbols.length + encoder->series.raw + encoder->metadata.length;
    /* 1.0 has no symbols, and 2.0 has its metadata with the series. */
    return compress_end(&encoder->series, &encoder->symbols, &encoder->metadata, &out->bytes, &out->length) ? 0 : -1;
}
