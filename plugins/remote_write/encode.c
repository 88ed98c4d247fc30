/* encode.c - bodies of remote write, put together from bytes that are ready; encode.h says which. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "encode.h"

#include <weir_plugin.h>

#include <endian.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

#define NAME "__name__"
#define SAMPLE_MAX 128u /* bytes of a sample with its frames and metadata, beside labels and name */
#define TOLD_MAX 16384u
#define TELL_AGAIN_MS 300000

struct symbol { /* of 2.0; ref 0: free, for "" is not looked up */
    uint32_t ref, hash, offset, length;
};
struct told { /* 1.0: when a family's metadata was told; 0: free */
    uint64_t hash;
    int64_t at_ms;
};
struct family { /* of a record, as this request has it */
    uint32_t name, help, unit; /* symbols, for 2.0 */
    uint32_t offset, length;   /* in `names`, for 1.0: the field with __name__ */
    bool known;
};
struct labelset { /* of a record, as this request has it: what of its references stands before and behind __name__ */
    uint32_t offset, split, length; /* in `refs` */
    bool known;
};
struct encoder {
    struct parts_reader reader;
    struct record_buffer series, symbols, refs, names, metadata, compressed;
    struct family families[RECORD_SAMPLES_MAX];
    struct labelset labelsets[RECORD_SAMPLES_MAX];
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
    free(encoder->series.bytes);
    free(encoder->symbols.bytes);
    free(encoder->refs.bytes);
    free(encoder->names.bytes);
    free(encoder->metadata.bytes);
    free(encoder->compressed.bytes);
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

/* Sample, of both versions: value = 1, timestamp = 2; 2.0: start_timestamp = 3. */
static uint8_t *put_sample(struct encoder *encoder, uint8_t *to, const struct record_sample *sample, bool start)
{
    size_t length = 10 + encoder->time_length + (start ? 1 + record_varint_length((uint64_t)sample->start_ms) : 0);
    const uint64_t bits = htole64(record_sample_bits(sample));

    *to++ = 0x12; /* TimeSeries.samples */
    *to++ = (uint8_t)length;
    *to++ = 0x09;
    to = put_bytes(to, &bits, sizeof(bits));
    *to++ = 0x10;
    to = put_bytes(to, encoder->time, encoder->time_length);
    if (!start)
        return to;
    *to++ = 0x18;
    return record_put_varint(to, (uint64_t)sample->start_ms);
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
static bool metadata_put(struct encoder *encoder, const struct record_family_view *view)
{
    size_t length = 2 + (1 + record_varint_length(view->name.length) + view->name.length);
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
    to = put_field(to, 0x12, &view->name);
    if (view->help.length)
        to = put_field(to, 0x22, &view->help);
    if (view->unit.length)
        to = put_field(to, 0x2a, &view->unit);
    encoder->metadata.length = (size_t)(to - encoder->metadata.bytes);
    return true;
}

/* The field with __name__, and the metadata if they are due. */
static bool family_1(struct encoder *encoder, struct family *family, const struct record_family_view *view, int64_t now_ms)
{
    const struct record_text name = {NAME, sizeof(NAME) - 1};
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
    family->known = true;
    return !told_is_due(encoder, &view->name, now_ms) || metadata_put(encoder, view);
}

/* WriteRequest.timeseries = 1; TimeSeries: labels = 1, samples = 2. */
static bool series_1(struct encoder *encoder, const struct record_sample *sample, int64_t now_ms)
{
    const struct record_labels_view *labels = &encoder->reader.record.labelsets[sample->labelset];
    struct family *family = &encoder->families[sample->family];
    size_t length;
    uint8_t *to;

    if (!family->known && !family_1(encoder, family, &encoder->reader.record.families[sample->family], now_ms))
        return false;
    length = labels->length + family->length + 2 + 10 + encoder->time_length;
    if (!record_reserve(&encoder->series, length + SAMPLE_MAX))
        return false;
    to = encoder->series.bytes + encoder->series.length;
    *to++ = 0x0a;
    to = record_put_varint(to, length);
    to = put_bytes(to, labels->bytes, labels->split);
    to = put_bytes(to, encoder->names.bytes + family->offset, family->length);
    to = put_bytes(to, labels->bytes + labels->split, labels->length - labels->split);
    to = put_sample(encoder, to, sample, false);
    encoder->series.length = (size_t)(to - encoder->series.bytes);
    return true;
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

static bool family_2(struct encoder *encoder, struct family *family, const struct record_family_view *view)
{
    family->known = symbol_of(encoder, &view->name, &family->name) && symbol_of(encoder, &view->help, &family->help) &&
                    symbol_of(encoder, &view->unit, &family->unit);
    return family->known;
}

static bool labelset_2(struct encoder *encoder, struct labelset *labelset, const struct record_labels_view *view)
{
    const uint8_t *at = view->bytes;
    struct record_text name, value;
    int status;

    labelset->offset = (uint32_t)encoder->refs.length;
    labelset->split = 0;
    while ((status = record_label_next(&at, view->bytes + view->length, &name, &value)) > 0) {
        uint32_t refs[2];
        uint8_t *to;

        if (!symbol_of(encoder, &name, &refs[0]) || !symbol_of(encoder, &value, &refs[1]) ||
            !record_reserve(&encoder->refs, 2 * RECORD_VARINT_MAX))
            return false;
        to = record_put_varint(record_put_varint(encoder->refs.bytes + encoder->refs.length, refs[0]), refs[1]);
        encoder->refs.length = (size_t)(to - encoder->refs.bytes);
        if (at <= view->bytes + view->split)
            labelset->split = (uint32_t)encoder->refs.length - labelset->offset;
    }
    labelset->length = (uint32_t)encoder->refs.length - labelset->offset;
    labelset->known = true;
    return true;
}

/* Request.timeseries = 5; TimeSeries: labels_refs = 1, samples = 2, metadata = 5; Metadata: type, help_ref = 3, unit_ref = 4. */
static bool series_2(struct encoder *encoder, const struct record_sample *sample)
{
    const struct record_reader *reader = &encoder->reader.record;
    struct family *family = &encoder->families[sample->family];
    struct labelset *labels = &encoder->labelsets[sample->labelset];
    const bool start = sample->start_ms != 0;
    uint8_t named[2 * RECORD_VARINT_MAX];
    size_t named_length, refs, length, metadata;
    const uint8_t *from;
    uint8_t *to;

    if ((!family->known && !family_2(encoder, family, &reader->families[sample->family])) ||
        (!labels->known && !labelset_2(encoder, labels, &reader->labelsets[sample->labelset])))
        return false;
    named_length = (size_t)(record_put_varint(record_put_varint(named, encoder->name_symbol), family->name) - named);
    refs = labels->length + named_length;
    metadata = 2 + (family->help ? 1 + record_varint_length(family->help) : 0) +
               (family->unit ? 1 + record_varint_length(family->unit) : 0);
    length = 1 + record_varint_length(refs) + refs + 2 + 10 + encoder->time_length +
             (start ? 1 + record_varint_length((uint64_t)sample->start_ms) : 0) + 2 + metadata;
    if (!record_reserve(&encoder->series, length + SAMPLE_MAX))
        return false;
    to = encoder->series.bytes + encoder->series.length;
    *to++ = 0x2a;
    to = record_put_varint(to, length);
    *to++ = 0x0a;
    to = record_put_varint(to, refs);
    from = encoder->refs.bytes + labels->offset;
    to = put_bytes(to, from, labels->split);
    to = put_bytes(to, named, named_length);
    to = put_bytes(to, from + labels->split, labels->length - labels->split);
    to = put_sample(encoder, to, sample, start);
    *to++ = 0x2a;
    *to++ = (uint8_t)metadata;
    *to++ = 0x08;
    *to++ = kind_of(reader->families[sample->family].kind);
    if (family->help) {
        *to++ = 0x18;
        to = record_put_varint(to, family->help);
    }
    if (family->unit) {
        *to++ = 0x20;
        to = record_put_varint(to, family->unit);
    }
    encoder->series.length = (size_t)(to - encoder->series.bytes);
    return true;
}

/* ---- Requests ------------------------------------------------------------------------------------------------------------ */

/* A record's samples, as far as the window goes; below 0: no memory. */
static int encode_record(struct encoder *encoder, enum protocol protocol, const struct parts_window *window, struct parts_body *out)
{
    const struct parts_reader *reader = &encoder->reader;

    encoder->refs.length = encoder->names.length = 0;
    for (uint32_t i = 0; i < reader->record.nfamilies; i++)
        encoder->families[i].known = false;
    for (uint32_t i = 0; i < reader->record.nlabelsets; i++)
        encoder->labelsets[i].known = false;
    for (uint32_t i = reader->first; i < reader->count; i++) {
        const struct record_sample *sample = &reader->samples[i];

        if (out->samples == window->max_samples ||
            (out->samples && encoder->series.length + encoder->symbols.length + encoder->metadata.length > window->max_bytes)) {
            out->more = true;
            return 0;
        }
        time_put(encoder, sample->time_ms);
        if (protocol == PROTOCOL_1 ? !series_1(encoder, sample, window->now_ms) : !series_2(encoder, sample))
            return -1;
        out->samples++;
    }
    return 0;
}

/* Snappy's block format. */
static bool compress(struct encoder *encoder, const struct record_buffer *body, struct parts_body *out)
{
    size_t length = snappy_max_compressed_length(body->length);

    encoder->compressed.length = 0;
    if (!record_reserve(&encoder->compressed, length) ||
        snappy_compress((const char *)body->bytes, body->length, (char *)encoder->compressed.bytes, &length) != SNAPPY_OK)
        return false;
    out->bytes = encoder->compressed.bytes;
    out->length = length;
    out->raw_length = body->length;
    return true;
}

int encode(struct encoder *encoder, enum protocol protocol, const struct queue_flight *flight, const struct parts_window *window,
           struct parts_body *out)
{
    struct record_buffer *front = protocol == PROTOCOL_1 ? &encoder->series : &encoder->symbols;
    const struct record_buffer *behind = protocol == PROTOCOL_1 ? &encoder->metadata : &encoder->series;

    *out = (struct parts_body){0};
    encoder->reader.next = encoder->reader.passed = 0;
    encoder->series.length = encoder->symbols.length = encoder->metadata.length = 0;
    if (protocol == PROTOCOL_2 && !request_2(encoder))
        return -1;
    while (!out->more && parts_next(&encoder->reader, flight, window))
        if (encode_record(encoder, protocol, window, out) < 0)
            return -1;
    if (!out->samples)
        return 0;
    if (!record_reserve(front, behind->length))
        return -1;
    if (behind->length)
        memcpy(front->bytes + front->length, behind->bytes, behind->length);
    front->length += behind->length;
    return compress(encoder, front, out) ? 0 : -1;
}
