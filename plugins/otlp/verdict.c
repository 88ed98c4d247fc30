/* verdict.c - deciding; verdict.h says by which rules. */
#include "verdict.h"

#include "record.h"

#include <string.h>

struct field {
    uint64_t number;
    unsigned type;      /* of the wire */
    uint64_t value;     /* type 0 */
    const uint8_t *at;  /* type 2, as far as it was kept */
    size_t length;
};

/* The next field of a message that may have been cut; false: there is none, or it is no message. */
static bool field_next(const uint8_t **at, const uint8_t *end, struct field *field)
{
    uint64_t word;
    size_t room;

    *at = record_get_varint(*at, end, &word);
    if (!*at)
        return false;
    field->number = word >> 3;
    field->type = word & 7;
    if (field->type == 0 || field->type == 2) {
        *at = record_get_varint(*at, end, &field->value);
        if (!*at)
            return false;
    }
    room = (size_t)(end - *at);
    switch (field->type) {
    case 0: return true;
    case 1: field->length = 8; break;
    case 2: field->length = field->value < room ? (size_t)field->value : room; break;
    case 5: field->length = 4; break;
    default: return false;
    }
    if (field->length > room)
        return false;
    field->at = *at;
    *at += field->length;
    return true;
}

static void text_set(struct answer *answer, const struct field *field)
{
    answer->text = (size_t)((const char *)field->at - answer->body);
    answer->text_length = field->length < ANSWER_TEXT_MAX ? field->length : ANSWER_TEXT_MAX;
}

/* ExportMetricsPartialSuccess: rejected_data_points = 1, error_message = 2. */
static uint64_t partial_success(struct answer *answer, const struct field *message)
{
    const uint8_t *at = message->at, *end = at + message->length;
    uint64_t rejected = 0;
    struct field field;

    answer->text_length = 0;
    while (field_next(&at, end, &field)) {
        if (field.number == 1 && field.type == 0)
            rejected = field.value > INT64_MAX ? 0 : field.value;
        else if (field.number == 2 && field.type == 2)
            text_set(answer, &field);
    }
    return rejected;
}

/* Of a message where field 1 or 2 is what is wanted. */
static uint64_t read_body(struct answer *answer, bool good)
{
    const uint8_t *at = (const uint8_t *)answer->body;
    const uint8_t *end = at + (answer->body_bytes < ANSWER_KEPT_MAX ? answer->body_bytes : ANSWER_KEPT_MAX);
    uint64_t rejected = 0;
    struct field field;

    while (field_next(&at, end, &field)) {
        if (field.type != 2)
            continue;
        if (good && field.number == 1) /* ExportMetricsServiceResponse.partial_success */
            rejected = partial_success(answer, &field);
        else if (!good && field.number == 2) /* Status.message */
            text_set(answer, &field);
    }
    return rejected;
}

enum verdict verdict_of(struct answer *answer, uint64_t samples, uint64_t *taken)
{
    const bool good = answer->status >= 200 && answer->status < 300;
    const uint64_t rejected = read_body(answer, good);

    *taken = !good || rejected > samples ? 0 : samples - rejected;
    switch (answer->status) {
    case 0:
    case 429:
    case 502:
    case 503:
    case 504: return VERDICT_RETRY;
    case 401:
    case 403:
    case 407: return VERDICT_HOLD;
    case 413: return VERDICT_SPLIT;
    default: break;
    }
    if (answer->status >= 300 && answer->status < 400)
        return VERDICT_HOLD; /* followed, it might give credentials to others */
    return good ? VERDICT_DONE : VERDICT_REJECTED;
}
