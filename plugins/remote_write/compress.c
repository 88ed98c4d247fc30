/* compress.c - literals and copies; compress.h says of what. */
#include "compress.h"

#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

#define LITERAL_MAX 60u      /* bytes of a literal whose tag is one byte */
#define COPY_MIN 4u          /* a shorter one saves nothing */
#define COPY_MAX 64u
#define SHORT_MAX 11u        /* bytes of a copy of two bytes, */
#define SHORT_DISTANCE 2048u /* which refers to less far back */
#define ELEMENT_MAX 3u       /* bytes of a copy */

void compress_free(struct compressor *compressor)
{
    free(compressor->out.bytes);
    free(compressor->block.bytes);
}

void compress_begin(struct compressor *compressor)
{
    compressor->out.length = compressor->raw = compressor->copy = compressor->distance = 0;
}

bool compress_reserve(struct compressor *compressor, size_t bytes, size_t pieces)
{
    /* A literal adds a byte to so many, a copy takes less than it stands for; and one that has grown may come out. */
    return record_reserve(&compressor->out, bytes + bytes / LITERAL_MAX + pieces * (ELEMENT_MAX + 1) +
                                                (compressor->copy / COPY_MAX + 2) * ELEMENT_MAX);
}

void compress_flush(struct compressor *compressor)
{
    const size_t distance = compressor->distance;
    uint8_t *to = compressor->out.bytes + compressor->out.length;
    size_t length = compressor->copy;

    while (length) {
        /* What is left is long enough for a copy. */
        size_t part = length <= COPY_MAX ? length : length < COPY_MAX + COPY_MIN ? COPY_MAX - COPY_MIN : COPY_MAX;

        if (part >= COPY_MIN && part <= SHORT_MAX && distance < SHORT_DISTANCE) {
            *to++ = (uint8_t)(1 | (part - COPY_MIN) << 2 | distance >> 8 << 5);
            *to++ = (uint8_t)distance;
        } else {
            *to++ = (uint8_t)(2 | (part - 1) << 2);
            *to++ = (uint8_t)distance;
            *to++ = (uint8_t)(distance >> 8);
        }
        length -= part;
    }
    compressor->copy = 0;
    compressor->out.length = (size_t)(to - compressor->out.bytes);
}

void compress_literal(struct compressor *compressor, const uint8_t *bytes, size_t length)
{
    uint8_t *to;

    if (!length)
        return;
    compress_flush(compressor);
    compressor->raw += length;
    to = compressor->out.bytes + compressor->out.length;
    while (length) {
        size_t part = length < LITERAL_MAX ? length : LITERAL_MAX;

        *to++ = (uint8_t)((part - 1) << 2);
        memcpy(to, bytes, part);
        to += part;
        bytes += part;
        length -= part;
    }
    compressor->out.length = (size_t)(to - compressor->out.bytes);
}

void compress_again(struct compressor *compressor, const uint8_t *bytes, size_t length, size_t at)
{
    if (length && compress_is_near(compressor, at))
        compress_copy(compressor, length, at);
    else
        compress_literal(compressor, bytes, length);
}

void compress_like(struct compressor *compressor, const uint8_t *bytes, size_t length, const uint8_t *other, size_t other_length,
                   size_t at)
{
    size_t least = length < other_length ? length : other_length, begin = 0, end = 0;

    if (!compress_is_near(compressor, at))
        least = 0;
    while (begin < least && bytes[begin] == other[begin])
        begin++;
    while (end < least - begin && bytes[length - 1 - end] == other[other_length - 1 - end])
        end++;
    begin = begin < COPY_MIN ? 0 : begin;
    end = end < COPY_MIN ? 0 : end;
    compress_again(compressor, bytes, begin, at);
    compress_literal(compressor, bytes + begin, length - begin - end);
    compress_again(compressor, bytes + length - end, end, at + other_length - end);
}

/* ---- The block ------------------------------------------------------------------------------------------------------------- */

/* The elements of libsnappy's block of these bytes. */
static bool put_block(struct record_buffer *block, const struct record_buffer *from)
{
    size_t length = snappy_max_compressed_length(from->length), head = record_varint_length(from->length);
    uint8_t *to;

    if (!from->length)
        return true;
    if (!record_reserve(block, length))
        return false;
    to = block->bytes + block->length;
    if (snappy_compress((const char *)from->bytes, from->length, (char *)to, &length) != SNAPPY_OK)
        return false;
    memmove(to, to + head, length - head);
    block->length += length - head;
    return true;
}

bool compress_end(struct compressor *compressor, const struct record_buffer *front, const struct record_buffer *behind,
                  const uint8_t **bytes, size_t *length)
{
    struct record_buffer *block = &compressor->block, *out = &compressor->out;

    block->length = 0;
    if (!compress_reserve(compressor, 0, 0) || !record_reserve(block, RECORD_VARINT_MAX))
        return false;
    compress_flush(compressor);
    block->length = (size_t)(record_put_varint(block->bytes, front->length + compressor->raw + behind->length) - block->bytes);
    if (!put_block(block, front) || !record_reserve(block, out->length))
        return false;
    if (out->length)
        memcpy(block->bytes + block->length, out->bytes, out->length);
    block->length += out->length;
    if (!put_block(block, behind))
        return false;
    *bytes = block->bytes;
    *length = block->length;
    return true;
}
