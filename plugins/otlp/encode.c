/* encode.c - bodies of OTLP, put together from bytes that are ready; encode.h says which.
 *
 * Points are made in the order in which samples come, each with its metric's number.  When the request is full the lengths of all
 * messages are known, the frames are written, and every point is copied to its place.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "encode.h"

#include <weir_plugin.h>

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
#define FRAME_MAX (1 + RECORD_VARINT_MAX) /* a tag and a length */
#define POINT_MAX (FRAME_MAX + 3 * 9 + 2) /* beside the attributes and exemplars */
#define TRACE_ID 16u /* bytes */
#define SPAN_ID 8u
#define UNIT_MAX 64u
#define SCOPE_NAME "weir"
#define SUM_END "\x10\x02\x18\x01" /* Sum: aggregation_temporality = 2, CUMULATIVE; is_monotonic = 3 */

struct item { /* of a request: a resource, or a metric of one */
    uint32_t hash, resource; /* a resource's is NONE */
    uint32_t newest;         /* a resource's metric, NONE: there is none */
    uint32_t older;          /* a metric's: the one before it in its resource */
    bool sum;
    size_t offset, length;   /* in `texts`: the resource's attributes, or the metric's name, description and unit */
    size_t inside;           /* bytes: of a metric's points, of a resource's ScopeMetrics */
    size_t size;             /* bytes of the whole message */
    size_t at;               /* in the body: where a metric's next point goes */
};
struct table { /* of items, found by their bytes */
    struct item *items;
    uint32_t count, room;
    uint32_t *slots; /* NONE: free */
    size_t size;     /* a power of two, at least double of count */
};
struct point {
    uint32_t metric, length;
};
struct family { /* of a record: its metric in the resource that it was last seen in */
    uint32_t metric, resource;
};
struct labelset { /* of a record: its attributes of a point, in `attributes` */
    size_t offset, length;
    uint32_t resource; /* NONE: not made yet */
};
struct encoder {
    const char *const *external;
    size_t nexternal;
    struct parts_reader reader;
    struct family families[RECORD_SAMPLES_MAX];
    struct labelset labelsets[RECORD_SAMPLES_MAX];
    struct table resources, metrics;
    struct record_buffer texts, attributes, exemplars, points, body; /* exemplars: of a point */
    struct point *order;
    size_t order_room;
    uint8_t scope[64];
    size_t scope_length;
};

/* Base units of OpenMetrics, and what UCUM calls them. */
static const char *const units[][2] = {
    {"seconds", "s"}, {"milliseconds", "ms"}, {"bytes", "By"}, {"ratio", "1"}, {"percent", "%"}, {"celsius", "Cel"},
    {"hertz", "Hz"}, {"volts", "V"}, {"amperes", "A"}, {"watts", "W"}, {"joules", "J"}, {"meters", "m"}, {"grams", "g"}};

/* ---- Pieces -------------------------------------------------------------------------------------------------------------- */

static uint8_t *put_bytes(uint8_t *to, const void *bytes, size_t length)
{
    if (length)
        memcpy(to, bytes, length);
    return to + length;
}

static uint8_t *put_frame(uint8_t *to, uint8_t tag, size_t length)
{
    *to++ = tag;
    return record_put_varint(to, length);
}

static size_t framed(size_t length)
{
    return 1 + record_varint_length(length) + length;
}

static uint8_t *put_text(uint8_t *to, uint8_t tag, const char *text, size_t length)
{
    return put_bytes(put_frame(to, tag, length), text, length);
}

static uint8_t *put_fixed(uint8_t *to, uint8_t tag, uint64_t bits)
{
    bits = htole64(bits);
    *to++ = tag;
    return put_bytes(to, &bits, sizeof(bits));
}

/* KeyValue: key = 1, value = 2; AnyValue: string_value = 1. */
static uint8_t *put_attribute(uint8_t *to, uint8_t tag, const char *key, size_t key_length, const struct record_text *value)
{
    to = put_frame(to, tag, framed(key_length) + framed(framed(value->length)));
    to = put_text(to, 0x0a, key, key_length);
    to = put_frame(to, 0x12, framed(value->length));
    return put_text(to, 0x0a, value->at, value->length);
}

/* ---- Resources and metrics ----------------------------------------------------------------------------------------------- */

static void table_clear(struct table *table)
{
    table->count = 0;
    if (table->size)
        memset(table->slots, 0xff, table->size * sizeof(*table->slots));
}

static bool table_grow(struct table *table)
{
    uint32_t room = table->room ? table->room * 2 : 256;
    struct item *items = realloc(table->items, room * sizeof(*items));
    uint32_t *slots;

    if (!items)
        return false;
    table->items = items;
    slots = malloc(room * 2 * sizeof(*slots));
    if (!slots)
        return false;
    free(table->slots);
    table->slots = slots;
    table->room = room;
    table->size = room * 2;
    memset(slots, 0xff, table->size * sizeof(*slots));
    for (uint32_t i = 0; i < table->count; i++) {
        size_t at = items[i].hash;

        while (slots[at & (table->size - 1)] != NONE)
            at++;
        slots[at & (table->size - 1)] = i;
    }
    return true;
}

/* The number of the item whose bytes are the last ones of `texts`, from an offset; they stay only if it is new.  NONE: no
 * memory. */
static uint32_t item_of(struct encoder *encoder, struct table *table, size_t offset, uint32_t resource, bool sum)
{
    const uint8_t *bytes = encoder->texts.bytes + offset;
    const size_t length = encoder->texts.length - offset;
    const uint32_t hash = (uint32_t)XXH3_64bits_withSeed(bytes, length, (uint64_t)resource << 1 | sum);

    if (table->count == table->room && !table_grow(table))
        return NONE;
    for (size_t at = hash;; at++) {
        uint32_t *slot = &table->slots[at & (table->size - 1)];
        const struct item *item;

        if (*slot == NONE) {
            *slot = table->count;
            table->items[table->count] = (struct item){.hash = hash, .resource = resource, .newest = NONE, .older = NONE,
                                                       .sum = sum, .offset = offset, .length = length};
            return table->count++;
        }
        item = &table->items[*slot];
        if (item->hash == hash && item->resource == resource && item->sum == sum && item->length == length &&
            (!length || memcmp(encoder->texts.bytes + item->offset, bytes, length) == 0)) {
            encoder->texts.length = offset;
            return *slot;
        }
    }
}

/* What a unit is called: UCUM's name, or in braces what is none of UCUM's; "" if it cannot stand there. */
static size_t unit_name(const struct record_text *unit, char name[UNIT_MAX])
{
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (unit->length == strlen(units[i][0]) && memcmp(unit->at, units[i][0], unit->length) == 0) {
            memcpy(name, units[i][1], strlen(units[i][1]));
            return strlen(units[i][1]);
        }
    if (!unit->length || unit->length > UNIT_MAX - 2)
        return 0;
    for (size_t i = 0; i < unit->length; i++)
        if (unit->at[i] <= ' ' || unit->at[i] > '~' || unit->at[i] == '{' || unit->at[i] == '}')
            return 0;
    name[0] = '{';
    memcpy(name + 1, unit->at, unit->length);
    name[unit->length + 1] = '}';
    return unit->length + 2;
}

/* Metric: name = 1, description = 2, unit = 3. */
static bool family_make(struct encoder *encoder, struct family *family, const struct record_family_view *view, uint32_t resource)
{
    const size_t offset = encoder->texts.length;
    char unit[UNIT_MAX];
    const size_t unit_length = unit_name(&view->unit, unit);
    struct item *metric, *parent = &encoder->resources.items[resource];
    const uint32_t known = encoder->metrics.count;
    uint8_t *to;

    if (!record_reserve(&encoder->texts, 3 * FRAME_MAX + view->name.length + view->help.length + UNIT_MAX))
        return false;
    to = put_text(encoder->texts.bytes + offset, 0x0a, view->name.at, view->name.length);
    if (view->help.length)
        to = put_text(to, 0x12, view->help.at, view->help.length);
    if (unit_length)
        to = put_text(to, 0x1a, unit, unit_length);
    encoder->texts.length = (size_t)(to - encoder->texts.bytes);
    family->metric = item_of(encoder, &encoder->metrics, offset, resource,
                             view->kind == WEIR_COUNTER || view->kind == WEIR_HISTOGRAM);
    if (family->metric == NONE)
        return false;
    family->resource = resource;
    if (family->metric == known) {
        metric = &encoder->metrics.items[known];
        metric->older = parent->newest;
        parent->newest = known;
    }
    return true;
}

static bool is(const struct record_text *text, const char *other)
{
    return text->length == strlen(other) && memcmp(text->at, other, text->length) == 0;
}

static bool is_external(const struct encoder *encoder, const struct record_text *name)
{
    for (size_t i = 0; i < encoder->nexternal; i++)
        if (strncmp(encoder->external[i], name->at, name->length) == 0 && encoder->external[i][name->length] == '=')
            return true;
    return false;
}

/* Resource: attributes = 1; NumberDataPoint: attributes = 7. */
static bool labelset_make(struct encoder *encoder, struct labelset *labelset, const struct record_labels_view *view)
{
    const uint8_t *at = view->bytes, *end = at + view->length;
    const size_t offset = encoder->texts.length;
    struct record_text name, value;

    labelset->offset = encoder->attributes.length;
    while (record_label_next(&at, end, &name, &value) > 0) {
        const char *key = is(&name, "job") ? "service.name" : is(&name, "instance") ? "service.instance.id" : NULL;
        const bool of_resource = key || is_external(encoder, &name);
        struct record_buffer *buffer = of_resource ? &encoder->texts : &encoder->attributes;
        uint8_t *to;

        if (!record_reserve(buffer, 4 * FRAME_MAX + sizeof("service.instance.id") + name.length + value.length))
            return false;
        to = put_attribute(buffer->bytes + buffer->length, of_resource ? 0x0a : 0x3a, key ? key : name.at,
                           key ? strlen(key) : name.length, &value);
        buffer->length = (size_t)(to - buffer->bytes);
    }
    labelset->length = encoder->attributes.length - labelset->offset;
    labelset->resource = item_of(encoder, &encoder->resources, offset, NONE, false);
    return labelset->resource != NONE;
}

/* ---- Exemplars ----------------------------------------------------------------------------------------------------------- */

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes that 2 * length hexadecimal digits stand for; false: this is no id, of which not all are 0. */
static bool get_id(const struct record_text *text, uint8_t *id, size_t length)
{
    uint8_t any = 0;

    if (text->length != 2 * length)
        return false;
    for (size_t i = 0; i < text->length; i++) {
        const int digit = digit_of(text->at[i]);

        if (digit < 0)
            return false;
        id[i / 2] = (uint8_t)(i % 2 ? id[i / 2] << 4 | digit : digit);
        any |= (uint8_t)digit;
    }
    return any != 0;
}

/* Exemplar: time_unix_nano = 2, as_double = 3, span_id = 4, trace_id = 5, filtered_attributes = 7; in its frame of exemplars = 5 of
 * NumberDataPoint. */
static bool exemplar_put(struct encoder *encoder, const struct record_exemplar *exemplar)
{
    const uint8_t *at = exemplar->labels, *end = at + exemplar->length;
    uint8_t trace[TRACE_ID], span[SPAN_ID];
    bool has_trace = false, has_span = false;
    size_t offset = encoder->attributes.length, length, attributes;
    struct record_text name, value;
    uint8_t *to;

    /* Attributes are made where those of label sets are, and forgotten again. */
    while (record_label_next(&at, end, &name, &value) > 0) {
        if ((!has_trace && is(&name, "trace_id") && (has_trace = get_id(&value, trace, TRACE_ID))) ||
            (!has_span && is(&name, "span_id") && (has_span = get_id(&value, span, SPAN_ID))))
            continue;
        if (!record_reserve(&encoder->attributes, 4 * FRAME_MAX + name.length + value.length))
            return false;
        to = put_attribute(encoder->attributes.bytes + encoder->attributes.length, 0x3a, name.at, name.length, &value);
        encoder->attributes.length = (size_t)(to - encoder->attributes.bytes);
    }
    attributes = encoder->attributes.length - offset;
    encoder->attributes.length = offset;
    length = 9 + 9 + (has_span ? framed(SPAN_ID) : 0) + (has_trace ? framed(TRACE_ID) : 0) + attributes;
    if (!record_reserve(&encoder->exemplars, FRAME_MAX + length))
        return false;
    to = put_frame(encoder->exemplars.bytes + encoder->exemplars.length, 0x2a, length);
    to = put_fixed(to, 0x11, (uint64_t)exemplar->time_ms * 1000000);
    to = put_fixed(to, 0x19, exemplar->bits);
    if (has_span)
        to = put_bytes(put_frame(to, 0x22, SPAN_ID), span, SPAN_ID);
    if (has_trace)
        to = put_bytes(put_frame(to, 0x2a, TRACE_ID), trace, TRACE_ID);
    if (attributes)
        to = put_bytes(to, encoder->attributes.bytes + offset, attributes);
    encoder->exemplars.length = (size_t)(to - encoder->exemplars.bytes);
    return true;
}

__attribute__((noinline, cold)) static bool exemplars_put(struct encoder *encoder, const struct record_sample *sample)
{
    struct record_exemplars left = record_exemplars(&encoder->reader.record, sample);
    struct record_exemplar exemplar;

    while (record_exemplar_next(&left, &exemplar))
        if (!exemplar_put(encoder, &exemplar))
            return false;
    return true;
}

/* ---- Points -------------------------------------------------------------------------------------------------------------- */

static bool order_add(struct encoder *encoder, uint64_t number, uint32_t metric, size_t length)
{
    if (number == encoder->order_room) {
        size_t room = encoder->order_room ? encoder->order_room * 2 : 4096;
        struct point *larger = realloc(encoder->order, room * sizeof(*larger));

        if (!larger)
            return false;
        encoder->order = larger;
        encoder->order_room = room;
    }
    encoder->order[number] = (struct point){metric, (uint32_t)length};
    return true;
}

/* A sum's integers are integers; a gauge's are not: its next value may be below zero, for which samples have doubles alone, and no
 * series is to change its type. */
static bool is_integer(const struct record_sample *sample, bool sum)
{
    return sum && sample->kind == RECORD_U64 && sample->bits <= INT64_MAX;
}

/* NumberDataPoint: start_time_unix_nano = 2, time_unix_nano = 3, as_double = 4, exemplars = 5, as_int = 6, attributes = 7,
 * flags = 8; in its frame of data_points = 1, of both Gauge and Sum. */
static bool point_put(struct encoder *encoder, uint64_t number, const struct record_sample *sample)
{
    struct family *family = &encoder->families[sample->family];
    struct labelset *labels = &encoder->labelsets[sample->labelset];
    const struct record_buffer *exemplars = &encoder->exemplars;
    const bool stale = sample->kind == RECORD_STALENESS;
    struct item *metric;
    bool start, integer;
    size_t length;
    uint8_t *begin, *to;

    if (labels->resource == NONE && !labelset_make(encoder, labels, &encoder->reader.record.labelsets[sample->labelset]))
        return false;
    if (family->resource != labels->resource &&
        !family_make(encoder, family, &encoder->reader.record.families[sample->family], labels->resource))
        return false;
    encoder->exemplars.length = 0;
    if (sample->exemplars && !exemplars_put(encoder, sample))
        return false;
    metric = &encoder->metrics.items[family->metric];
    start = metric->sum && sample->start_ms != 0;
    integer = is_integer(sample, metric->sum);
    length = (start ? 9u : 0u) + 9 + (stale ? 2u : 9u) + exemplars->length + labels->length;
    if (!record_reserve(&encoder->points, POINT_MAX + exemplars->length + labels->length) ||
        !order_add(encoder, number, family->metric, framed(length)))
        return false;
    begin = encoder->points.bytes + encoder->points.length;
    to = put_frame(begin, 0x0a, length);
    if (start)
        to = put_fixed(to, 0x11, (uint64_t)sample->start_ms * 1000000);
    to = put_fixed(to, 0x19, (uint64_t)sample->time_ms * 1000000);
    if (!stale && !integer)
        to = put_fixed(to, 0x21, record_sample_bits(sample));
    to = put_bytes(to, exemplars->bytes, exemplars->length);
    if (!stale && integer)
        to = put_fixed(to, 0x31, sample->bits);
    to = put_bytes(to, encoder->attributes.bytes + labels->offset, labels->length);
    if (stale)
        to = put_bytes(to, "\x40\x01", 2); /* FLAG_NO_RECORDED_VALUE */
    encoder->points.length += (size_t)(to - begin);
    metric->inside += (size_t)(to - begin);
    return true;
}

/* A record's samples, as far as the window goes; below 0: no memory. */
static int encode_record(struct encoder *encoder, const struct parts_window *window, struct parts_body *out)
{
    const struct parts_reader *reader = &encoder->reader;

    encoder->attributes.length = 0;
    for (uint32_t i = 0; i < reader->record.nfamilies; i++)
        encoder->families[i].resource = NONE;
    for (uint32_t i = 0; i < reader->record.nlabelsets; i++)
        encoder->labelsets[i].resource = NONE;
    for (uint32_t i = reader->first; i < reader->count; i++) {
        if (out->samples == window->max_samples ||
            (out->samples && encoder->points.length + encoder->texts.length > window->max_bytes)) {
            out->more = true;
            return 0;
        }
        if (!point_put(encoder, out->samples, &reader->samples[i]))
            return -1;
        out->samples++;
    }
    return 0;
}

/* ---- Requests ------------------------------------------------------------------------------------------------------------ */

static size_t data_size(const struct item *metric)
{
    return metric->inside + (metric->sum ? sizeof(SUM_END) - 1 : 0);
}

/* Makes the sizes of all messages; returns that of the body. */
static size_t measure(struct encoder *encoder)
{
    size_t total = 0;

    for (uint32_t i = 0; i < encoder->metrics.count; i++) {
        struct item *metric = &encoder->metrics.items[i];

        metric->size = metric->length + framed(data_size(metric));
        encoder->resources.items[metric->resource].inside += framed(metric->size);
    }
    for (uint32_t i = 0; i < encoder->resources.count; i++) {
        struct item *resource = &encoder->resources.items[i];

        resource->inside += encoder->scope_length;
        resource->size = framed(resource->length) + framed(resource->inside);
        total += framed(resource->size);
    }
    return total;
}

/* ExportMetricsServiceRequest: resource_metrics = 1; ResourceMetrics: resource = 1, scope_metrics = 2; ScopeMetrics: scope = 1,
 * metrics = 2; Metric: gauge = 5, sum = 7.  Leaves room for the points. */
static void frames_put(struct encoder *encoder)
{
    const uint8_t *texts = encoder->texts.bytes;
    uint8_t *to = encoder->body.bytes;

    for (uint32_t i = 0; i < encoder->resources.count; i++) {
        const struct item *resource = &encoder->resources.items[i];

        to = put_frame(to, 0x0a, resource->size);
        to = put_frame(to, 0x0a, resource->length);
        to = put_bytes(to, texts + resource->offset, resource->length);
        to = put_frame(to, 0x12, resource->inside);
        to = put_bytes(to, encoder->scope, encoder->scope_length);
        for (uint32_t k = resource->newest; k != NONE; k = encoder->metrics.items[k].older) {
            struct item *metric = &encoder->metrics.items[k];

            to = put_frame(to, 0x12, metric->size);
            to = put_bytes(to, texts + metric->offset, metric->length);
            to = put_frame(to, metric->sum ? 0x3a : 0x2a, data_size(metric));
            metric->at = (size_t)(to - encoder->body.bytes);
            to += metric->inside;
            if (metric->sum)
                to = put_bytes(to, SUM_END, sizeof(SUM_END) - 1);
        }
    }
    encoder->body.length = (size_t)(to - encoder->body.bytes);
}

int encode(struct encoder *encoder, const struct queue_flight *flight, const struct parts_window *window, struct parts_body *out)
{
    const uint8_t *from;

    *out = (struct parts_body){0};
    encoder->texts.length = encoder->points.length = encoder->body.length = 0;
    encoder->reader.next = encoder->reader.passed = 0;
    table_clear(&encoder->resources);
    table_clear(&encoder->metrics);
    while (!out->more && parts_next(&encoder->reader, flight, window))
        if (encode_record(encoder, window, out) < 0)
            return -1;
    if (!out->samples)
        return 0;
    if (!record_reserve(&encoder->body, measure(encoder)))
        return -1;
    frames_put(encoder);
    from = encoder->points.bytes;
    for (uint64_t i = 0; i < out->samples; i++) {
        struct item *metric = &encoder->metrics.items[encoder->order[i].metric];

        memcpy(encoder->body.bytes + metric->at, from, encoder->order[i].length);
        metric->at += encoder->order[i].length;
        from += encoder->order[i].length;
    }
    out->bytes = encoder->body.bytes;
    out->length = out->raw_length = encoder->body.length;
    return 0;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

struct encoder *encoder_new(const char *const *external, size_t count)
{
    struct encoder *encoder = calloc(1, sizeof(*encoder));
    const size_t name = sizeof(SCOPE_NAME) - 1, version = sizeof(WEIR_VERSION) - 1;
    uint8_t *to;

    _Static_assert(sizeof(WEIR_VERSION) < 32, "the scope has room");
    if (!encoder)
        return NULL;
    encoder->reader.by_family = true; /* points of a metric stand together */
    encoder->external = external;
    encoder->nexternal = count;
    /* InstrumentationScope: name = 1, version = 2; in its frame of ScopeMetrics. */
    to = put_frame(encoder->scope, 0x0a, framed(name) + framed(version));
    to = put_text(put_text(to, 0x0a, SCOPE_NAME, name), 0x12, WEIR_VERSION, version);
    encoder->scope_length = (size_t)(to - encoder->scope);
    return encoder;
}

void encoder_free(struct encoder *encoder)
{
    if (!encoder)
        return;
    free(encoder->resources.items);
    free(encoder->resources.slots);
    free(encoder->metrics.items);
    free(encoder->metrics.slots);
    free(encoder->texts.bytes);
    free(encoder->attributes.bytes);
    free(encoder->exemplars.bytes);
    free(encoder->points.bytes);
    free(encoder->body.bytes);
    free(encoder->order);
    free(encoder);
}
