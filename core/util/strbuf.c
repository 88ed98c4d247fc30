/* strbuf.c - text that grows, under a ceiling. */
#include "strbuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct strbuf *buffer, size_t count)
{
    size_t room = buffer->room ? buffer->room : 128;
    char *larger;

    if (buffer->failed)
        return false;
    if (count >= buffer->ceiling - buffer->length) {
        buffer->failed = true;
        return false;
    }
    if (count < buffer->room - buffer->length)
        return true;
    while (room <= buffer->length + count)
        room *= 2;
    larger = realloc(buffer->text, room);
    if (!larger) {
        buffer->failed = true;
        return false;
    }
    buffer->text = larger;
    buffer->room = room;
    return true;
}

void strbuf_add(struct strbuf *buffer, const char *bytes, size_t count)
{
    if (!reserve(buffer, count))
        return;
    memcpy(buffer->text + buffer->length, bytes, count);
    buffer->length += count;
    buffer->text[buffer->length] = '\0';
}

void strbuf_vprintf(struct strbuf *buffer, const char *format, va_list args)
{
    va_list again;
    int length;

    va_copy(again, args);
    length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0 || !reserve(buffer, (size_t)length)) {
        buffer->failed = true;
        return;
    }
    (void)vsnprintf(buffer->text + buffer->length, (size_t)length + 1, format, args);
    buffer->length += (size_t)length;
}

void strbuf_printf(struct strbuf *buffer, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    strbuf_vprintf(buffer, format, args);
    va_end(args);
}

void strbuf_clear(struct strbuf *buffer)
{
    buffer->length = 0;
    buffer->failed = false;
    if (buffer->text)
        buffer->text[0] = '\0';
}

void strbuf_free(struct strbuf *buffer)
{
    free(buffer->text);
    *buffer = (struct strbuf){.ceiling = buffer->ceiling};
}
