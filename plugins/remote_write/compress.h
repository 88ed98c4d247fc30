/* compress.h - a snappy block of bytes of which it is known where they stand already.
 *
 * libsnappy looks for what repeats; a request of remote write knows it: what names a series stands in the series before it, or in the
 * last one of the same family.  So its writer says for each piece where the same bytes are, and it becomes a copy, without a look
 * at them; pieces that follow each other there as they do here become one.  What nothing is known of is a literal or, where it
 * resembles something, compared with that; whole parts of the block are given to libsnappy.
 *
 * Source of the format: snappy's format_description.txt: the length of all bytes as a varint, then literals and copies.  A copy says
 * how far back its bytes are, so that parts may be compressed each on its own.
 * Threads: a compressor is one thread's.
 */
#ifndef REMOTE_WRITE_COMPRESS_H
#define REMOTE_WRITE_COMPRESS_H

#include "record.h"

#define COMPRESS_NOWHERE SIZE_MAX
#define COMPRESS_DISTANCE_MAX 65535u
#define COMPRESS_NEAR 8192u

struct compressor {
    struct record_buffer out;   /* literals and copies */
    struct record_buffer block;
    size_t raw;                 /* bytes that they stand for: the place of the next one */
    size_t copy, distance;      /* a copy that may still grow: bytes, and how far back */
};

void compress_free(struct compressor *compressor);
/* The copy that has grown comes out. */
void compress_flush(struct compressor *compressor);
/* Begins a block. */
void compress_begin(struct compressor *compressor);
/* Makes room for pieces of so many bytes and so many pieces.  False: no memory. */
bool compress_reserve(struct compressor *compressor, size_t bytes, size_t pieces);
/* Whether what stands at `at` can be referred to.  It can from all of the next COMPRESS_NEAR bytes. */
static inline bool compress_is_near(const struct compressor *compressor, size_t at)
{
    return at < compressor->raw && compressor->raw - at <= COMPRESS_DISTANCE_MAX - COMPRESS_NEAR;
}
/* Adds a piece, for which there is room: new bytes; or such as stand at `at` already, which is near. */
void compress_literal(struct compressor *compressor, const uint8_t *bytes, size_t length);
static inline void compress_copy(struct compressor *compressor, size_t length, size_t at)
{
    const size_t distance = compressor->raw - at;

    if (distance != compressor->distance) {
        compress_flush(compressor);
        compressor->distance = distance;
    }
    compressor->copy += length;
    compressor->raw += length;
}
/* The one or the other. */
void compress_again(struct compressor *compressor, const uint8_t *bytes, size_t length, size_t at);
/* A piece that begins and ends, perhaps, as another one that stands at `at`. */
void compress_like(struct compressor *compressor, const uint8_t *bytes, size_t length, const uint8_t *other, size_t other_length,
                   size_t at);
/* The block of front, the pieces, behind.  False: no memory.  *bytes is the compressor's, until it begins again. */
bool compress_end(struct compressor *compressor, const struct record_buffer *front, const struct record_buffer *behind,
                  const uint8_t **bytes, size_t *length);

#endif
