/* mistakes.c - a list of mistakes. */
#include "mistakes.h"

#include "util/strbuf.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void mistakes_add(struct mistakes *mistakes, const char *file, int line, const char *format, ...)
{
    struct strbuf text = {.ceiling = 16384};
    char what[1024], **more = NULL;
    va_list args;

    if (mistakes->count < MISTAKES_MAX)
        more = realloc(mistakes->lines, (mistakes->count + 1) * sizeof(*more));
    if (!more) {
        mistakes->more++;
        return;
    }
    mistakes->lines = more;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    if (file)
        strbuf_printf(&text, "%s:%d: ", file, line);
    for (const char *s = what; *s; s++) {
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            strbuf_printf(&text, "\\x%02X", (unsigned)(unsigned char)*s);
        else
            strbuf_add(&text, s, 1);
    }
    if (text.failed) {
        strbuf_free(&text);
        mistakes->more++;
        return;
    }
    mistakes->lines[mistakes->count++] = text.text;
}

void mistakes_print(const struct mistakes *mistakes, FILE *out)
{
    for (size_t i = 0; i < mistakes->count; i++)
        fprintf(out, "%s\n", mistakes->lines[i]);
    if (mistakes->more)
        fprintf(out, "and %zu more\n", mistakes->more);
}

void mistakes_free(struct mistakes *mistakes)
{
    for (size_t i = 0; i < mistakes->count; i++)
        free(mistakes->lines[i]);
    free(mistakes->lines);
    *mistakes = (struct mistakes){0};
}

static int compare_places(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    size_t file_x = strcspn(x, ":"), file_y = strcspn(y, ":");
    long line_x, line_y;

    if (file_x != file_y || strncmp(x, y, file_x) != 0)
        return 0; /* of different files: as found */
    line_x = strtol(x + file_x + (x[file_x] == ':'), NULL, 10);
    line_y = strtol(y + file_y + (y[file_y] == ':'), NULL, 10);
    return (line_x > line_y) - (line_x < line_y);
}

/* A stable sort, so that what is found at one line stays in order. */
void mistakes_sort(struct mistakes *mistakes)
{
    for (size_t i = 1; i < mistakes->count; i++)
        for (size_t j = i; j > 0 && compare_places(&mistakes->lines[j - 1], &mistakes->lines[j]) > 0; j--) {
            char *line = mistakes->lines[j];

            mistakes->lines[j] = mistakes->lines[j - 1];
            mistakes->lines[j - 1] = line;
        }
}
