/* strbuf.h - text that grows, under a ceiling.
 *
 * After a failed append `failed` stays set and the text is what it was; check once at the end.
 */
#ifndef WEIR_STRBUF_H
#define WEIR_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct strbuf {
    char *text;            /* NUL-terminated; NULL while empty */
    size_t length, room, ceiling;
    bool failed;
};

void strbuf_add(struct strbuf *buffer, const char *bytes, size_t count);
void strbuf_printf(struct strbuf *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void strbuf_vprintf(struct strbuf *buffer, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
void strbuf_clear(struct strbuf *buffer); /* keeps the memory */
void strbuf_free(struct strbuf *buffer);

#endif
