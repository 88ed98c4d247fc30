/* answer.c - reading answers; answer.h is the contract. */
#include "answer.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void answer_begin(struct answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    answer->retry_after_ms = -1;
}

bool answer_value(const char *line, size_t length, const char *name, char *value, size_t size)
{
    size_t named = strlen(name);

    if (length <= named || strncasecmp(line, name, named) != 0 || line[named] != ':')
        return false;
    line += named + 1;
    length -= named + 1;
    while (length && (*line == ' ' || *line == '\t'))
        line++, length--;
    while (length && strchr(" \t\r\n", line[length - 1]))
        length--;
    if (length >= size || memchr(line, '\0', length))
        return false;
    memcpy(value, line, length);
    value[length] = '\0';
    return true;
}

bool answer_is_number(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == '\0';
}

/* Delay in seconds, or a date; RFC 9110 10.2.3. */
static int64_t retry_after_ms(const char *value, int64_t wall_s)
{
    int64_t seconds;

    if (answer_is_number(value)) {
        seconds = strlen(value) > 9 ? RETRY_AFTER_MAX_MS : atoll(value);
    } else {
        time_t date = isalpha((unsigned char)*value) ? curl_getdate(value, NULL) : -1; /* a date begins with the name of a day */

        if (date < 0 || date <= wall_s)
            return -1;
        seconds = date - wall_s;
    }
    if (seconds > RETRY_AFTER_MAX_MS / 1000)
        seconds = RETRY_AFTER_MAX_MS / 1000;
    return seconds * 1000 < RETRY_AFTER_MIN_MS ? RETRY_AFTER_MIN_MS : seconds * 1000;
}

bool answer_head_begins(const char *line, size_t length)
{
    return length > 5 && memcmp(line, "HTTP/", 5) == 0;
}

bool answer_header(struct answer *answer, const char *line, size_t length, int64_t wall_s)
{
    char value[64];

    answer->header_bytes += length;
    if (answer->header_bytes > ANSWER_HEADERS_MAX)
        return false;
    if (answer_head_begins(line, length))
        answer->retry_after_ms = -1;
    else if (answer_value(line, length, "Retry-After", value, sizeof(value)))
        answer->retry_after_ms = retry_after_ms(value, wall_s);
    return true;
}

bool answer_body(struct answer *answer, const char *bytes, size_t length)
{
    size_t kept = answer->body_bytes < ANSWER_KEPT_MAX ? answer->body_bytes : ANSWER_KEPT_MAX;
    size_t room = ANSWER_KEPT_MAX - kept, more = length < room ? length : room;

    if (more)
        memcpy(answer->body + kept, bytes, more);
    answer->text_length = kept + more < ANSWER_TEXT_MAX ? kept + more : ANSWER_TEXT_MAX;
    answer->body_bytes += length;
    return answer->body_bytes <= ANSWER_BODY_MAX;
}

void answer_text(const struct answer *answer, char out[ANSWER_TEXT_SIZE])
{
    const char *text = answer->body + answer->text;
    size_t length = answer->text_length;

    while (length && strchr(" \t\r\n", text[length - 1]) && text[length - 1])
        length--;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte >= ' ' && byte < 0x7f)
            *out++ = (char)byte;
        else
            out += sprintf(out, "\\x%02x", byte);
    }
    *out = '\0';
}

int64_t answer_backoff_ms(const struct answer *answer, unsigned attempts, uint32_t noise)
{
    return answer->retry_after_ms >= 0 ? answer->retry_after_ms : backoff_ms(attempts, noise);
}
