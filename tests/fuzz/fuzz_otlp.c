/* fuzz_otlp.c - any bytes as a record and as the answer of a receiver: no crash, and every sample is in one request, whose lengths
 * add up.
 *
 * The first byte chooses.
 */
#include "encode.h"
#include "verdict.h"

#include <stdlib.h>
#include <string.h>

/* Walks a message and those in it: each ends where its length says.  Strings and numbers are not looked at. */
static void message_check(const uint8_t *at, const uint8_t *end, unsigned depth)
{
    while (at < end) {
        uint64_t tag, length = 0;

        at = record_get_varint(at, end, &tag);
        if (!at)
            abort();
        if ((tag & 7) == 1) {
            length = 8;
        } else {
            at = record_get_varint(at, end, &length);
            if (!at)
                abort();
            if ((tag & 7) == 0)
                continue;
        }
        if (length > (uint64_t)(end - at))
            abort();
        /* ResourceMetrics, ScopeMetrics behind the resource, Metric behind the scope, its data, points, exemplars. */
        if ((tag & 7) == 2 && ((depth == 0 && tag == 0x0a) || (depth == 1 && tag == 0x12) || (depth == 2 && tag == 0x12) ||
                               (depth == 3 && (tag == 0x2a || tag == 0x3a)) || (depth == 4 && tag == 0x0a) || (depth == 5 && tag == 0x2a)))
            message_check(at, at + length, depth + 1);
        at += length;
    }
}

static void fuzz_record(const uint8_t *data, size_t size)
{
    static const char *const external[] = {"a=b", "server="};
    static struct record_reader reader;
    static struct encoder *encoder;
    static struct parts *parts;
    uint8_t *tight = malloc(size ? size : 1);
    struct queue_record record = {.length = size};
    struct queue_flight flight = {.bytes = memcpy(tight, data, size), .length = size, .records = &record, .count = 1,
                                  .parts = 1 + size % 3};
    struct record_sample sample;
    uint64_t samples = 0, encoded = 0;

    if (!encoder) {
        encoder = encoder_new(external, 2);
        parts = parts_new();
    }
    if (record_read(&reader, tight, size))
        while (record_block(&reader) > 0)
            while (record_sample(&reader, &sample) > 0)
                samples++;
    flight.samples = record.samples = (uint32_t)samples;
    if (parts_plan(parts, &flight) < 0)
        abort();
    for (uint32_t part = 0; part < flight.parts; part++) {
        struct parts_window window = {.parts = parts, .part = part, .max_samples = 3, .max_bytes = 1000};
        struct parts_body out = {.more = true};

        while (out.more) {
            if (encode(encoder, &flight, &window, &out) < 0 || out.samples > 3)
                abort();
            if (out.samples)
                message_check(out.bytes, out.bytes + out.length, 0);
            window.first += out.samples;
        }
        encoded += window.first;
    }
    if (encoded != samples && samples < RECORD_SAMPLES_MAX)
        abort();
    free(tight);
}

static void fuzz_answer(const uint8_t *data, size_t size)
{
    char text[ANSWER_TEXT_SIZE];
    struct answer answer;
    uint64_t taken;

    answer_begin(&answer);
    answer.status = size ? data[0] * 4 : 0;
    (void)answer_body(&answer, (const char *)data, size);
    if ((unsigned)verdict_of(&answer, 10, &taken) > VERDICT_HOLD || taken > 10)
        abort();
    if (answer.text + answer.text_length > size || answer.text_length > ANSWER_TEXT_MAX)
        abort();
    answer_text(&answer, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size)
        (data[0] & 1 ? fuzz_answer : fuzz_record)(data + 1, size - 1);
    return 0;
}
