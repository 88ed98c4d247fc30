/* packets.c - packing; packets.h says what is kept. */
#include "packets.h"

#include "number.h"

#include <stdlib.h>
#include <string.h>

bool packets_init(struct packets *packets, size_t max)
{
    size_t room = PACKETS_BYTES_MAX / max;

    *packets = (struct packets){.max = max, .room = room < PACKETS_MAX ? room : PACKETS_MAX, .samples_room = 1024};
    packets->bytes = malloc(packets->room * max);
    packets->samples = malloc(packets->samples_room * sizeof(*packets->samples));
    return packets->bytes && packets->samples;
}

void packets_free(struct packets *packets)
{
    free(packets->bytes);
    free(packets->samples);
    *packets = (struct packets){.max = 0};
}

void packets_clear(struct packets *packets)
{
    packets->count = 0;
    packets->nsamples = 0;
}

static char *put_line(char *at, const struct series_text *text, const char *number, size_t length)
{
    memcpy(at, text->bytes, text->name_length);
    at += text->name_length;
    memcpy(at, number, length);
    at += length;
    memcpy(at, text->bytes + text->name_length, text->length - text->name_length);
    return at + (text->length - text->name_length);
}

enum packets_result packets_add(struct packets *packets, const struct series_text *text, const char *number, size_t length,
                                bool zero_first, const struct packets_sample *sample)
{
    const size_t need = text->length + length + (zero_first ? text->length + 2u : 0);
    size_t last = packets->count - 1;
    char *at;

    if (need > packets->max)
        return PACKETS_TOO_LONG;
    if (packets->nsamples == packets->samples_room) {
        void *larger = realloc(packets->samples, packets->samples_room * 2ul * sizeof(*packets->samples));

        if (!larger)
            return PACKETS_NO_MEMORY;
        packets->samples = larger;
        packets->samples_room *= 2;
    }
    if (!packets->count || packets->lengths[last] + 1 + need > packets->max) {
        if (packets->count == packets->room)
            return PACKETS_FULL;
        last = packets->count++;
        packets->lengths[last] = packets->nlines[last] = 0;
    }
    at = packets->bytes + last * packets->max + packets->lengths[last];
    if (packets->lengths[last])
        *at++ = '\n';
    if (zero_first) {
        at = put_line(at, text, "0", 1);
        *at++ = '\n';
    }
    at = put_line(at, text, number, length);
    packets->lengths[last] = (uint32_t)(at - packets_datagram(packets, last));
    packets->nlines[last] += 1u + zero_first;
    packets->samples[packets->nsamples++] = *sample;
    packets->ends[last] = packets->nsamples;
    return PACKETS_OK;
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

size_t packets_number_u64(char *out, uint64_t value)
{
    return number_u64(out, value);
}

/* Writes what [-]d[.ddd]e[+-]xx says without its exponent. */
static size_t expand(char *out, const char *text, size_t length)
{
    char digits[NUMBER_MAX], *begin = out;
    const char *at = text, *end = memchr(text, 'e', length);
    int count = 0, point, exponent;

    if (*at == '-')
        *out++ = *at++;
    for (; at < end; at++)
        if (*at != '.')
            digits[count++] = *at;
    exponent = atoi(end + 1);
    point = exponent + 1; /* digits before it */
    if (point <= 0) {
        *out++ = '0';
        *out++ = '.';
        memset(out, '0', (size_t)-point);
        out += -point;
        point = -1;
    }
    for (int i = 0; i < count || i < point; i++) {
        if (i == point)
            *out++ = '.';
        *out++ = i < count ? digits[i] : '0';
    }
    return (size_t)(out - begin);
}

size_t packets_number_f64(char *out, double value)
{
    char text[NUMBER_MAX + 1];
    size_t length;

    if (value == 0) { /* 0 has no sign here: one means a change */
        *out = '0';
        return 1;
    }
    length = number_f64(text, value);
    text[length] = '\0';
    if (memchr(text, 'e', length))
        return expand(out, text, length);
    memcpy(out, text, NUMBER_MAX);
    return length;
}
