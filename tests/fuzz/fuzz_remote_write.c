/* fuzz_remote_write.c - any bytes as a segment of the queue, as a checkpoint, as a record and as the answer of a receiver: no
 * crash, and what is found is within its bounds.
 *
 * The first byte chooses.
 */
#include "checkpoint.h"
#include "crc32c.h"
#include "encode.h"
#include "record.h"
#include "segment.h"
#include "verdict.h"

#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
}

/* No fuzzer finds a checksum: whatever begins like a record, and has an even number, gets those that are right. */
static uint8_t *with_checksums(const uint8_t *data, size_t size, uint32_t salt)
{
    uint8_t *copy = memcpy(malloc(size ? size : 1), data, size);

    for (size_t at = 0; at + QUEUE_HEADER <= size; at++) {
        uint32_t length;

        if (memcmp(copy + at, "\xf7WR\xf7", 4) != 0 || copy[at + 8] & 1)
            continue;
        memcpy(&length, copy + at + 4, sizeof(length));
        if (length <= size - at - QUEUE_HEADER)
            put32(copy + at + 36, crc32c(salt, copy + at + QUEUE_HEADER, length));
        put32(copy + at + 40, crc32c(salt, copy + at, 40));
    }
    return copy;
}

static void fuzz_segment(const uint8_t *given, size_t size)
{
    static uint8_t chunk[SEGMENT_CHUNK];
    static int fd = -1;
    struct segment_reader reader = {.salt = 7, .end = size, .chunk = chunk};
    struct segment_record record;
    uint64_t last = 0;
    uint8_t *payload = NULL, *data = with_checksums(given, size, 7);

    if (fd < 0)
        fd = memfd_create("fuzz", 0);
    if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    reader.fd = fd;
    while (segment_find(&reader, &record)) {
        if (record.offset < last || record.offset + QUEUE_HEADER > size || record.length > QUEUE_RECORD_MAX)
            abort();
        last = record.offset + 1;
        payload = realloc(payload, record.length + 1u);
        if (record.seq & 2 ? segment_load(&reader, &record, payload) : segment_check(&reader, &record))
            last = record.offset + QUEUE_HEADER + record.length;
    }
    if (reader.offset < reader.end)
        abort();
    free(payload);
    free(data);
}

static void fuzz_checkpoint(const uint8_t *data, size_t size)
{
    static const uint8_t begin[8] = "WEIRQCP1";
    struct checkpoint checkpoint;
    uint8_t whole[CHECKPOINT_BYTES], again[CHECKPOINT_BYTES];

    (void)checkpoint_newest(data, size, &checkpoint);
    if (size < CHECKPOINT_BYTES)
        return;
    memcpy(whole, data, sizeof(whole));
    memcpy(whole, begin, sizeof(begin));
    put32(whole + CHECKPOINT_BYTES - 4, crc32c(0, whole, CHECKPOINT_BYTES - 4));
    if (!checkpoint_decode(whole, sizeof(whole), &checkpoint))
        return;
    checkpoint_encode(again, &checkpoint);
    if (memcmp(whole, again, sizeof(again)) != 0)
        abort();
}

/* A body is compressed as it is said to be, its fields follow each other to its end, and so many of them are series.  Each has a sample;
 * in 1.0 labels are sent as they lie in the record, which may be no labels here. */
static void body_check(const struct parts_body *body, enum protocol protocol)
{
    size_t length;
    uint8_t *raw;
    uint64_t series = 0, value, inner;

    if (snappy_uncompressed_length((const char *)body->bytes, body->length, &length) != SNAPPY_OK || length != body->raw_length)
        abort();
    raw = malloc(length + 1);
    if (snappy_uncompress((const char *)body->bytes, body->length, (char *)raw, &length) != SNAPPY_OK)
        abort();
    for (const uint8_t *at = raw, *end = raw + length; at < end; at += value) {
        const uint8_t tag = *at++;
        unsigned samples = 0, exemplars = 0;

        at = record_get_varint(at, end, &value);
        if (!at || value > (uint64_t)(end - at))
            abort();
        if (tag != (protocol == PROTOCOL_1 ? 0x0a : 0x2a))
            continue;
        series++;
        if (protocol == PROTOCOL_1)
            continue;
        for (const uint8_t *field = at; field < at + value; field += inner) {
            samples += *field == 0x12;
            exemplars += *field == 0x22;
            field = record_get_varint(field + 1, at + value, &inner);
            if (!field || inner > (uint64_t)(at + value - field))
                abort();
        }
        if (samples != 1 || exemplars > RECORD_EXEMPLARS_MAX)
            abort();
    }
    if (series != body->samples)
        abort();
    free(raw);
}

/* They lie in the record, are not too many, and have good labels. */
static void exemplars_check(struct record_exemplars left, const uint8_t *begin, const uint8_t *end)
{
    struct record_exemplar exemplar;

    for (unsigned n = 0; record_exemplar_next(&left, &exemplar); n++) {
        const uint8_t *at = exemplar.labels;
        struct record_text name, value;
        int status;

        if (n == RECORD_EXEMPLARS_MAX || at < begin || exemplar.length > RECORD_EXEMPLAR_LABELS ||
            exemplar.length > (size_t)(end - at))
            abort();
        while ((status = record_label_next(&at, exemplar.labels + exemplar.length, &name, &value)) > 0)
            continue;
        if (status < 0)
            abort();
    }
}

/* What is read as samples can be encoded in both protocols, all of it and in pieces. */
static void fuzz_record(const uint8_t *data, size_t size)
{
    static struct record_reader reader;
    static struct encoder *encoder;
    static struct parts *parts;
    uint8_t *tight = malloc(size ? size : 1);
    struct queue_record record = {.length = size};
    struct queue_flight flight = {.bytes = memcpy(tight, data, size), .length = size, .records = &record, .count = 1,
                                  .parts = 1 + size % 3};
    struct record_sample sample;
    uint64_t samples = 0;

    if (!encoder) {
        encoder = encoder_new();
        parts = parts_new();
    }
    if (record_read(&reader, tight, size))
        while (record_block(&reader) > 0)
            while (record_sample(&reader, &sample) > 0) {
                exemplars_check(record_exemplars(&reader, &sample), tight, tight + size);
                samples++;
            }
    flight.samples = record.samples = (uint32_t)samples;
    if (parts_plan(parts, &flight) < 0)
        abort();
    for (unsigned way = 0; way < 2 * PROTOCOLS; way++) {
        const enum protocol protocol = way / 2;
        const uint64_t most = way % 2 ? 3 : RECORD_SAMPLES_MAX;
        uint64_t encoded = 0;

        for (uint32_t part = 0; part < flight.parts; part++) {
            struct parts_window window = {.parts = parts, .part = part, .max_samples = most, .max_bytes = most * 1000, .now_ms = 1};
            struct parts_body out = {.more = true};

            while (out.more) {
                if (encode(encoder, protocol, &flight, &window, &out) < 0 || out.samples > most)
                    abort();
                if (out.samples)
                    body_check(&out, protocol);
                window.first += out.samples;
            }
            encoded += window.first;
        }
        if (encoded != samples && samples < RECORD_SAMPLES_MAX)
            abort();
    }
    free(tight);
}

static void fuzz_answer(const uint8_t *data, size_t size)
{
    char text[ANSWER_TEXT_SIZE];
    struct verdict_written written = {0};
    struct answer answer;
    const uint8_t *end = data + size;
    const int status = size > 2 ? data[0] * 4 : 0;

    answer_begin(&answer);
    while (data < end) {
        const uint8_t *newline = memchr(data, '\n', (size_t)(end - data));
        size_t length = newline ? (size_t)(newline - data) + 1 : (size_t)(end - data);
        char *line = malloc(length);

        memcpy(line, data, length);
        (void)answer_header(&answer, line, length, 1700000000);
        verdict_header(&written, line, length);
        (void)answer_body(&answer, line, length);
        free(line);
        data += length;
    }
    answer_text(&answer, text);
    for (const char *at = text; *at; at++)
        if (*at < ' ' || *at == 0x7f)
            abort();
    for (unsigned attempts = 1; attempts < 20; attempts++) {
        int64_t ms = answer_backoff_ms(&answer, attempts, (uint32_t)size * 2654435761u);

        if (ms < 0 || ms > RETRY_AFTER_MAX_MS)
            abort();
    }
    for (int way = 0; way < 8; way++)
        if ((unsigned)verdict_of(status, &written, (enum protocol)(way & 1), way & 2, way & 4) > VERDICT_HOLD)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const all[])(const uint8_t *, size_t) = {fuzz_segment, fuzz_checkpoint, fuzz_record, fuzz_answer};

    if (size)
        all[data[0] % 4](data + 1, size - 1);
    return 0;
}
