/* checkpoint.c - a checkpoint as bytes; checkpoint.h says what is in it. */
#include "checkpoint.h"

#include "crc32c.h"

#include <endian.h>
#include <string.h>

#define MAGIC UINT64_C(0x3150435152494557) /* "WEIRQCP1" */
#define WORDS (12u + QUEUE_OUTCOMES)

void checkpoint_encode(uint8_t bytes[CHECKPOINT_BYTES], const struct checkpoint *c)
{
    uint64_t words[WORDS] = {MAGIC,       c->serial,      c->head.seq, c->head.sample, c->next.seq, c->next.sample,
                             c->tail.seq, c->tail.sample, c->flying,   c->parts,       c->done,     c->unnumbered};
    uint32_t crc;

    memcpy(words + 12, c->outcomes, sizeof(c->outcomes));
    for (size_t i = 0; i < WORDS; i++)
        words[i] = htole64(words[i]);
    memcpy(bytes, words, sizeof(words));
    crc = htole32(crc32c(0, bytes, sizeof(words)));
    memcpy(bytes + sizeof(words), &crc, sizeof(crc));
}

static bool plausible(const struct checkpoint *c)
{
    uint64_t settled = 0;

    for (size_t i = 0; i < QUEUE_OUTCOMES; i++)
        settled += c->outcomes[i];
    return c->head.seq <= c->next.seq && c->next.seq <= c->tail.seq && c->head.sample <= c->next.sample &&
           c->next.sample <= c->tail.sample && c->parts <= QUEUE_PARTS_MAX &&
           (c->parts || !c->flying) &&
           settled + c->flying + (c->tail.sample - c->next.sample) == c->tail.sample + c->unnumbered;
}

bool checkpoint_decode(const uint8_t *bytes, size_t length, struct checkpoint *c)
{
    uint64_t words[WORDS];
    uint32_t crc;

    if (length < CHECKPOINT_BYTES)
        return false;
    memcpy(words, bytes, sizeof(words));
    memcpy(&crc, bytes + sizeof(words), sizeof(crc));
    if (le32toh(crc) != crc32c(0, bytes, sizeof(words)))
        return false;
    for (size_t i = 0; i < WORDS; i++)
        words[i] = le64toh(words[i]);
    if (words[0] != MAGIC)
        return false;
    *c = (struct checkpoint){.serial = words[1], .head = {words[2], words[3]}, .next = {words[4], words[5]},
                             .tail = {words[6], words[7]}, .flying = words[8], .parts = words[9], .done = words[10],
                             .unnumbered = words[11]};
    memcpy(c->outcomes, words + 12, sizeof(c->outcomes));
    return plausible(c);
}

bool checkpoint_newest(const uint8_t *file, size_t length, struct checkpoint *newest)
{
    bool found = false;

    for (size_t slot = 0; slot < CHECKPOINT_SLOTS; slot++) {
        struct checkpoint one;
        size_t from = slot * CHECKPOINT_SLOT;

        if (length <= from || !checkpoint_decode(file + from, length - from, &one) || (found && one.serial < newest->serial))
            continue;
        *newest = one;
        found = true;
    }
    return found;
}
