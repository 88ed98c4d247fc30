/* record.h - samples as a payload of the queue: complete in itself, so that any later process can send it.
 *
 * README.md has the format.  A writer takes samples as they come and names each family and each label set once per record; a reader
 * gives them back in the same order.  The reader takes any bytes: those that are no record end it with an error.
 * Threads: a writer is one thread's, and so are the families and label sets given to it; a reader is one thread's.
 */
#ifndef PUSH_RECORD_H
#define PUSH_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RECORD_SAMPLES_MAX 1024u
#define RECORD_EXPANDED_MAX (1u << 20) /* bytes of a record's samples with all labels, so that one fits into any request */
#define RECORD_EXEMPLARS_MAX 8u      /* of a sample */
#define RECORD_EXEMPLAR_LABELS 1200u /* bytes of its labels: 128 characters of 4 bytes, 9 bytes around each of 64 labels at most */
#define RECORD_STALE UINT64_C(0x7ff0000000000002) /* the bits of Prometheus' stale marker */

/* ---- Labels as they are sent ---- */
/* A label set without __name__, in the encoding of remote write 1.0: a `labels` field per label, sorted.  __name__ belongs before
 * byte `split`.  Labels that are in the same set have the same hash, in every life of the process. */
struct record_labels {
    uint32_t hash, split, length;
    uint32_t turn, number; /* the writer's */
    uint8_t bytes[];
};
struct record_family {
    const char *name, *unit, *help; /* unit and help may be empty */
    uint32_t kind;                  /* enum weir_kind */
    uint32_t turn, number, name_length; /* the writer's */
};

/* ---- Bytes that grow ---- */
struct record_buffer {
    uint8_t *bytes;
    size_t length, room;
};
bool record_grow(struct record_buffer *buffer, size_t more);
/* Makes room for so many more; false: no memory. */
static inline bool record_reserve(struct record_buffer *buffer, size_t more)
{
    return buffer->length + more <= buffer->room || record_grow(buffer, more);
}

/* ---- Writing ---- */
enum record_value { RECORD_U64, RECORD_F64, RECORD_STALENESS };
struct record_writer {
    struct record_buffer families, body, whole;
    size_t headroom, block; /* where the present block's length stands in the body */
    size_t expanded;
    uint32_t samples, turn, nfamilies, nlabelsets;
    uint32_t exemplars_of, exemplars; /* of the sample of this number, from 1 */
    bool open;                        /* a block is to be closed */
    const struct record_labels *labels; /* its; NULL: the next sample begins another one */
    int64_t time_ms;
};
/* A payload has so many bytes of room in front of it. */
void record_writer_init(struct record_writer *writer, size_t headroom);
void record_writer_free(struct record_writer *writer);
/* Begins a record; what was written before is gone. */
void record_begin(struct record_writer *writer);
/* 1: it is in; 0: the record is full, nothing was added; below 0: no memory, nothing was added.  start_ms 0: none. */
int record_add(struct record_writer *writer, struct record_family *family, struct record_labels *labels, int64_t time_ms,
               enum record_value kind, uint64_t bits, int64_t start_ms);
/* Behind the sample that was added last, with labels as in a label set.  1: it is in; 0: it is left out, as they are too long or it
 * is one too many; below 0: no memory. */
int record_add_exemplar(struct record_writer *writer, int64_t time_ms, uint64_t bits, const uint8_t *labels, size_t length);
/* The payload, the writer's until it begins again; NULL: no memory. */
uint8_t *record_end(struct record_writer *writer, size_t *length);

/* ---- Reading ---- */
struct record_text {
    const char *at;
    uint32_t length;
};
struct record_family_view {
    struct record_text name, unit, help;
    uint32_t kind;
};
struct record_labels_view {
    uint32_t hash, split, length;
    const uint8_t *bytes;
};
struct record_sample {
    uint64_t bits; /* of the kind; RECORD_STALE for staleness */
    int64_t time_ms, start_ms; /* 0: no start */
    uint16_t family, labelset; /* indexes into the reader's */
    uint16_t exemplars;        /* index of its first one's, from 1; 0: it has none */
    uint8_t kind;              /* enum record_value */
};
/* The bits of its value as a double, which rounds integers beyond 2^53. */
static inline uint64_t record_sample_bits(const struct record_sample *sample)
{
    const double value = (double)sample->bits;
    uint64_t bits;

    if (sample->kind != RECORD_U64)
        return sample->bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}
static inline double record_sample_f64(const struct record_sample *sample)
{
    const uint64_t bits = record_sample_bits(sample);
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}
struct record_exemplars { /* of a sample, those that have not been read */
    const uint8_t *at, *end;
};
struct record_exemplar {
    uint64_t bits;
    int64_t time_ms;
    const uint8_t *labels; /* as in a label set, and good ones */
    uint32_t length;
};
struct record_reader {
    const uint8_t *at, *end;
    const uint8_t *block, *block_end; /* samples of one label set at one time, which need not be read */
    uint32_t nfamilies, nlabelsets, nexemplars, samples;
    uint32_t labelset; /* of the block */
    int64_t time_ms;
    struct record_family_view families[RECORD_SAMPLES_MAX];
    struct record_labels_view labelsets[RECORD_SAMPLES_MAX];
    struct record_exemplars exemplars[RECORD_SAMPLES_MAX];
};
/* False: this is no record. */
bool record_read(struct record_reader *reader, const uint8_t *payload, size_t length);
/* Goes to the next block: 1; 0: that was the last; below 0: what follows is no record. */
int record_block(struct record_reader *reader);
/* The block's next sample, likewise. */
int record_sample(struct record_reader *reader, struct record_sample *sample);
/* A sample's exemplars, RECORD_EXEMPLARS_MAX at most, and the next of them: false, there is none. */
static inline struct record_exemplars record_exemplars(const struct record_reader *reader, const struct record_sample *sample)
{
    return sample->exemplars ? reader->exemplars[sample->exemplars - 1] : (struct record_exemplars){NULL, NULL};
}
bool record_exemplar_next(struct record_exemplars *exemplars, struct record_exemplar *exemplar);

/* ---- Protocol buffers' varints ---- */
static inline uint8_t *record_put_varint(uint8_t *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}
#define RECORD_VARINT_MAX 10u
/* NULL: it does not end before `end`. */
static inline const uint8_t *record_get_varint(const uint8_t *at, const uint8_t *end, uint64_t *value)
{
    uint64_t got = 0;

    for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
        uint8_t byte = *at++;

        got |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = got;
            return at;
        }
    }
    return NULL;
}
static inline size_t record_varint_length(uint64_t value)
{
    return (size_t)(70 - __builtin_clzll(value | 1)) / 7;
}

/* ---- A label as a field of remote write 1.0 ---- */
/* Puts it to where there are bytes for name, value and RECORD_LABEL_AROUND. */
#define RECORD_LABEL_AROUND (4 * RECORD_VARINT_MAX)
uint8_t *record_put_label(uint8_t *to, const char *name, const char *value);
/* The next label of a set: 1, and *at goes on; 0: there is none; below 0: this is no label. */
int record_label_next(const uint8_t **at, const uint8_t *end, struct record_text *name, struct record_text *value);

#endif
