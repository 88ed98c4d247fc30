/* segment.h - a file of the queue: records one after the other, each of which can be found and checked without the others.
 *
 * README.md has the format.  A record's two checksums begin with the salt in the file's name, so that no payload, whoever wrote
 * what is in it, can look like a record.  What is damaged is passed over to the next intact header.
 * Threads: none of its own; a reader is one thread's.
 */
#ifndef PUSH_SEGMENT_H
#define PUSH_SEGMENT_H

#include "queue.h"

#define SEGMENT_NAME_SIZE 52u /* with the NUL */

struct segment_name { /* of a file: SEQ-SAMPLE-SALT.segment, in hexadecimal */
    uint64_t seq, sample; /* of the first record */
    uint32_t salt;
};
void segment_name_format(char text[SEGMENT_NAME_SIZE], const struct segment_name *name);
bool segment_name_parse(const char *text, struct segment_name *name);

struct segment_record {
    uint64_t seq;    /* one more than the record's before */
    uint64_t sample; /* so many samples were accepted before it */
    int64_t time_ms;
    uint32_t samples, length;
    uint32_t payload_crc;
    uint64_t offset; /* of the header, in the file */
};

/* Writes the header in front of the payload, which begins at bytes + QUEUE_HEADER. */
void segment_seal(uint8_t *bytes, const struct segment_record *record, uint32_t salt);

#define SEGMENT_CHUNK (64u << 10)
struct segment_reader {
    int fd;
    uint32_t salt;
    uint64_t offset, end;
    uint64_t damaged; /* places at which an intact record was expected */
    uint8_t *chunk;   /* SEGMENT_CHUNK bytes, the reader's owner's */
};
/* Finds the next intact header at or behind `offset`; false at the end.  `offset` is then the header's. */
bool segment_find(struct segment_reader *reader, struct segment_record *record);
/* Goes beyond the record that was found without looking at its payload. */
void segment_skip(struct segment_reader *reader, const struct segment_record *record);
/* Reads its payload and goes beyond it; false if it is damaged. */
bool segment_load(struct segment_reader *reader, const struct segment_record *record, uint8_t *payload);
/* As segment_load, without keeping it. */
bool segment_check(struct segment_reader *reader, const struct segment_record *record);

#endif
