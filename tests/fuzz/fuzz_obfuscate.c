/* fuzz_obfuscate.c - no value of any statement is shown.
 *
 * The input says how a statement is put together of pieces: values and comments, into which the byte Z is strewn, and others that
 * have no Z.  Whatever the pieces, however the statement is cut and however little room there is, no Z may be seen.  The input
 * as it is must do no harm.
 */
#include "obfuscate.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct input {
    const uint8_t *at, *end;
};
struct text {
    char bytes[8192];
    size_t length;
    bool full; /* nothing is added behind what did not fit */
};

static uint8_t next(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static void add(struct text *text, const char *bytes)
{
    size_t length = strlen(bytes);

    text->full |= length >= sizeof(text->bytes) - text->length;
    if (text->full)
        return;
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

static void add_byte(struct text *text, char byte)
{
    text->full |= text->length == sizeof(text->bytes);
    if (!text->full)
        text->bytes[text->length++] = byte;
}

/* Some bytes of the input among Zs; `escaped` are written behind `escape`, none is one of `without`. */
static void add_content(struct text *text, struct input *input, const char *escaped, char escape, const char *without)
{
    add_byte(text, 'Z');
    for (uint8_t count = next(input) % 16; count; count--) {
        char byte = (char)next(input);

        if (strchr(without, byte)) /* or NUL */
            byte = 'Z';
        if (strchr(escaped, byte))
            add_byte(text, escape);
        add_byte(text, byte);
    }
    add_byte(text, 'Z');
}

static void add_piece(struct text *text, struct input *input)
{
    static const char *const words[] = {
        "SELECT", "a", "e", "E ", "\"it's\"", "$1", "IN (", ")", ",", "VALUES (", "- ", "/ ", "* ", "::", "SET", "ALTER", "=", ";",
        "\n", "u", "b", "U&\"\\0061\"", "\xc3\xa4", "\xff", "[", "]", "?", ".", "to", "@", "a$b", "\\",
    };

    switch (next(input) % 12) {
    case 0: /* either of the two, by standard_conforming_strings */
        add(text, "'");
        add_content(text, input, "'", '\'', "\\");
        add(text, "'");
        break;
    case 1:
        add(text, "'");
        add_content(text, input, "'\\", '\\', "");
        add(text, "'");
        break;
    case 2:
        add(text, " E'");
        add_content(text, input, "'\\", '\\', "");
        add(text, "'");
        break;
    case 3:
        add(text, " U&'");
        add_content(text, input, "'", '\'', "\\");
        add(text, "'");
        break;
    case 4:
        add(text, " $$");
        add_content(text, input, "", 0, "$");
        add(text, "$$");
        break;
    case 5:
        add(text, " $t\xc3\xa4g_1$ $$ $t$");
        add_content(text, input, "", 0, "$");
        add(text, "$t\xc3\xa4g_1$");
        break;
    case 6:
        add(text, " --");
        add_content(text, input, "", 0, "\r\n");
        add(text, "\n");
        break;
    case 7:
        add(text, " /*/ /* ");
        add_content(text, input, "", 0, "*/");
        add(text, "*/");
        add_content(text, input, "", 0, "*/");
        add(text, "*/");
        break;
    case 8:
        add(text, " 1Z.5Z "); /* a dollar behind its last letter would be part of a name */
        break;
    case 9:
        add(text, "; SET a.b TO ");
        add_content(text, input, "", 0, "'\";$/-\\*eEuUbBxXnN");
        add(text, " 'Z' \"Z;\" ; ");
        break;
    default:
        add(text, words[next(input) % (sizeof(words) / sizeof(words[0]))]);
        add(text, next(input) % 2 ? " " : "");
        break;
    }
}

static void hide(const char *sql, size_t length, size_t room, bool values_have_z)
{
    char *tight = malloc(length ? length : 1), *to = malloc(room);
    size_t shown = obfuscate(memcpy(tight, sql, length), length, to, room);

    if (shown >= room || to[shown] || memchr(to, '\0', shown))
        abort();
    if (values_have_z && memchr(to, 'Z', shown))
        abort();
    free(tight);
    free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, data + size};
    static struct text text;
    size_t room = (size_t)next(&input) * 4 + 1;

    hide((const char *)data, size, room, false);
    text.length = 0;
    text.full = false;
    while (input.at < input.end)
        add_piece(&text, &input);
    hide(text.bytes, text.length, room, true);
    hide(text.bytes, text.length, sizeof(text.bytes) * 2, true);
    hide(text.bytes, text.length ? (data[0] * 31u + size) % text.length : 0, sizeof(text.bytes) * 2, true);
    return 0;
}
