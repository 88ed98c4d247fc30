/* labels.h - label sets as records have them, for the tests of what encodes records. */
#ifndef WEIR_TEST_LABELS_H
#define WEIR_TEST_LABELS_H

#include "record.h"

#include <stdlib.h>
#include <string.h>

/* One of pairs: name, value, ..., NULL; freed with free. */
static struct record_labels *labels_of(const char *const *pairs)
{
    struct record_labels *labels = calloc(1, sizeof(*labels) + (64u << 10));
    uint8_t *to = labels->bytes;

    for (; *pairs; pairs += 2) {
        size_t name = strlen(pairs[0]), value = strlen(pairs[1]);

        *to++ = 0x0a;
        to = record_put_varint(to, 2 + record_varint_length(name) + name + record_varint_length(value) + value);
        *to++ = 0x0a;
        to = record_put_varint(to, name);
        to = (uint8_t *)memcpy(to, pairs[0], name) + name;
        *to++ = 0x12;
        to = record_put_varint(to, value);
        to = (uint8_t *)memcpy(to, pairs[1], value) + value;
        for (size_t i = 0; i < value; i++)
            labels->hash = labels->hash * 31 + (uint8_t)pairs[1][i];
    }
    labels->length = (uint32_t)(to - labels->bytes);
    return labels;
}

#endif
