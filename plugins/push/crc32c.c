/* crc32c.c - CRC-32C; crc32c.h says what it is. */
#include "crc32c.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t table[256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_make(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
        table[i] = crc;
    }
}

uint32_t crc32c_portable(uint32_t before, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    uint32_t crc = ~before;

    pthread_once(&table_once, table_make);
    while (length--)
        crc = crc >> 8 ^ table[(crc ^ *at++) & 0xff];
    return ~crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t before, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    uint64_t crc = ~before;

    for (; length >= 8; length -= 8, at += 8) {
        uint64_t word;

        memcpy(&word, at, sizeof(word));
        crc = __builtin_ia32_crc32di(crc, word);
    }
    while (length--)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, *at++);
    return ~(uint32_t)crc;
}

uint32_t crc32c(uint32_t before, const void *bytes, size_t length)
{
    return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(before, bytes, length) : crc32c_portable(before, bytes, length);
}
#else
uint32_t crc32c(uint32_t before, const void *bytes, size_t length)
{
    return crc32c_portable(before, bytes, length);
}
#endif
