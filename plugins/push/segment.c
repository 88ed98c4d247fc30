/* segment.c - finding records in a file, damaged or not; segment.h says what a record is. */
#include "segment.h"

#include "crc32c.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* 0xf7 begins no UTF-8 text, so that texts of a payload are passed over fast. */
static const uint8_t magic[4] = {0xf7, 'W', 'R', 0xf7};

_Static_assert(QUEUE_HEADER == 44, "the header below");
enum { AT_LENGTH = 4, AT_SEQ = 8, AT_SAMPLE = 16, AT_TIME = 24, AT_SAMPLES = 32, AT_PAYLOAD_CRC = 36, AT_HEADER_CRC = 40 };

/* ---- Names --------------------------------------------------------------------------------------------------------------- */

void segment_name_format(char text[SEGMENT_NAME_SIZE], const struct segment_name *name)
{
    snprintf(text, SEGMENT_NAME_SIZE, "%016" PRIx64 "-%016" PRIx64 "-%08" PRIx32 ".segment", name->seq, name->sample, name->salt);
}

bool segment_name_parse(const char *text, struct segment_name *name)
{
    struct segment_name parsed;
    char again[SEGMENT_NAME_SIZE];

    if (sscanf(text, "%16" SCNx64 "-%16" SCNx64 "-%8" SCNx32, &parsed.seq, &parsed.sample, &parsed.salt) != 3)
        return false;
    segment_name_format(again, &parsed);
    if (strcmp(text, again) != 0)
        return false;
    *name = parsed;
    return true;
}

/* ---- Headers ------------------------------------------------------------------------------------------------------------- */

static void put32(uint8_t *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof(value));
}

static void put64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof(value));
}

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return le32toh(value);
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return le64toh(value);
}

void segment_seal(uint8_t *bytes, const struct segment_record *record, uint32_t salt)
{
    memcpy(bytes, magic, sizeof(magic));
    put32(bytes + AT_LENGTH, record->length);
    put64(bytes + AT_SEQ, record->seq);
    put64(bytes + AT_SAMPLE, record->sample);
    put64(bytes + AT_TIME, (uint64_t)record->time_ms);
    put32(bytes + AT_SAMPLES, record->samples);
    put32(bytes + AT_PAYLOAD_CRC, crc32c(salt, bytes + QUEUE_HEADER, record->length));
    put32(bytes + AT_HEADER_CRC, crc32c(salt, bytes, AT_HEADER_CRC));
}

static bool header_parse(const uint8_t *bytes, uint32_t salt, struct segment_record *record)
{
    if (memcmp(bytes, magic, sizeof(magic)) != 0 || get32(bytes + AT_HEADER_CRC) != crc32c(salt, bytes, AT_HEADER_CRC))
        return false;
    record->length = get32(bytes + AT_LENGTH);
    record->seq = get64(bytes + AT_SEQ);
    record->sample = get64(bytes + AT_SAMPLE);
    record->time_ms = (int64_t)get64(bytes + AT_TIME);
    record->samples = get32(bytes + AT_SAMPLES);
    record->payload_crc = get32(bytes + AT_PAYLOAD_CRC);
    return record->length <= QUEUE_RECORD_MAX;
}

/* ---- Reading ------------------------------------------------------------------------------------------------------------- */

/* All of it, or less at the end of the file. */
static size_t read_at(int fd, uint8_t *to, size_t length, uint64_t offset)
{
    size_t had = 0;

    while (had < length) {
        ssize_t got = pread(fd, to + had, length - had, (off_t)(offset + had));

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        had += (size_t)got;
    }
    return had;
}

static size_t left(const struct segment_reader *reader, size_t at_most)
{
    uint64_t rest = reader->end > reader->offset ? reader->end - reader->offset : 0;

    return rest < at_most ? (size_t)rest : at_most;
}

/* From the reader's offset to the next intact header. */
static bool resync(struct segment_reader *reader, struct segment_record *record)
{
    for (;;) {
        size_t had = read_at(reader->fd, reader->chunk, left(reader, SEGMENT_CHUNK), reader->offset);
        const uint8_t *at = reader->chunk, *stop = at + had;

        if (had < QUEUE_HEADER) {
            reader->offset = reader->end;
            return false;
        }
        while ((at = memmem(at, (size_t)(stop - at), magic, sizeof(magic))) != NULL && stop - at >= (ptrdiff_t)QUEUE_HEADER) {
            if (header_parse(at, reader->salt, record)) {
                reader->offset += (uint64_t)(at - reader->chunk);
                record->offset = reader->offset;
                return true;
            }
            at++;
        }
        /* A header may begin in the last bytes of this chunk. */
        reader->offset += had - QUEUE_HEADER + 1;
    }
}

bool segment_find(struct segment_reader *reader, struct segment_record *record)
{
    size_t want = left(reader, QUEUE_HEADER);

    if (!want)
        return false;
    record->offset = reader->offset;
    if (want == QUEUE_HEADER && read_at(reader->fd, reader->chunk, want, reader->offset) == want &&
        header_parse(reader->chunk, reader->salt, record))
        return true;
    reader->damaged++;
    return resync(reader, record);
}

void segment_skip(struct segment_reader *reader, const struct segment_record *record)
{
    reader->offset = record->offset + QUEUE_HEADER + record->length;
}

/* A record of which the payload is damaged may have lost or gained bytes: the next one is looked for right behind its magic. */
static bool loaded(struct segment_reader *reader, const struct segment_record *record, bool intact)
{
    if (intact) {
        segment_skip(reader, record);
    } else {
        reader->damaged++;
        reader->offset = record->offset + sizeof(magic);
        if (!resync(reader, &(struct segment_record){0}))
            reader->offset = reader->end;
    }
    return intact;
}

bool segment_load(struct segment_reader *reader, const struct segment_record *record, uint8_t *payload)
{
    uint64_t from = record->offset + QUEUE_HEADER;
    bool whole = from + record->length <= reader->end &&
                 read_at(reader->fd, payload, record->length, from) == record->length;

    return loaded(reader, record, whole && crc32c(reader->salt, payload, record->length) == record->payload_crc);
}

bool segment_check(struct segment_reader *reader, const struct segment_record *record)
{
    uint64_t from = record->offset + QUEUE_HEADER;
    uint32_t crc = reader->salt, rest = record->length;
    bool whole = from + record->length <= reader->end;

    while (whole && rest) {
        size_t want = rest < SEGMENT_CHUNK ? rest : SEGMENT_CHUNK;

        whole = read_at(reader->fd, reader->chunk, want, from) == want;
        crc = crc32c(crc, reader->chunk, want);
        from += want;
        rest -= (uint32_t)want;
    }
    return loaded(reader, record, whole && crc == record->payload_crc);
}
