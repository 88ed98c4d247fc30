/* answer.h - what a receiver answered by HTTP, and what can follow from it.
 *
 * Pure functions of their arguments; the answer comes in pieces, of any bytes, and is bounded.  What its own headers and its body
 * mean is the protocol's to say (http_carrier.h).
 */
#ifndef PUSH_ANSWER_H
#define PUSH_ANSWER_H

#include "backoff.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_TEXT_MAX 256u            /* bytes of the text */
#define ANSWER_KEPT_MAX 4096u           /* bytes kept of the body */
#define ANSWER_TEXT_SIZE (4 * ANSWER_TEXT_MAX + 1)
#define ANSWER_HEADERS_MAX (64u << 10)  /* bytes read of headers, of all responses of one request */
#define ANSWER_BODY_MAX (1u << 20)      /* bytes read of the body */

struct answer {
    int status;              /* 0: none */
    int64_t retry_after_ms;  /* below 0: not told */
    size_t header_bytes, body_bytes;
    char body[ANSWER_KEPT_MAX];
    size_t text, text_length; /* what of it is to be read by people: its beginning, unless the protocol knows better */
};
/* Forgets what was before. */
void answer_begin(struct answer *answer);
/* The value of a header of this name, as text; false: the line is another one's. */
bool answer_value(const char *line, size_t length, const char *name, char *value, size_t size);
/* Whether it is digits alone, and some. */
bool answer_is_number(const char *text);
/* Whether a line begins a head: what was told by one before, of an answer with 1xx, is void. */
bool answer_head_begins(const char *line, size_t length);
/* One line of a head; false: there are too many bytes of them.  wall_s is for dates. */
bool answer_header(struct answer *answer, const char *line, size_t length, int64_t wall_s);
/* A piece of the body; false: there are too many. */
bool answer_body(struct answer *answer, const char *bytes, size_t length);
/* The text with what is not printable ASCII as \xNN. */
void answer_text(const struct answer *answer, char out[ANSWER_TEXT_SIZE]);

enum verdict {
    VERDICT_DONE,     /* taken, as far as the answer says */
    VERDICT_RETRY,    /* the same again, later */
    VERDICT_REJECTED, /* final */
    VERDICT_SPLIT,    /* in smaller pieces */
    VERDICT_REENCODE, /* at once, in the format that the protocol has turned to */
    VERDICT_HOLD      /* nobody but an operator can help: the same again, once a minute or when a credential has changed */
};

#define RETRY_AFTER_MIN_MS 1000
#define RETRY_AFTER_MAX_MS 300000
#define HOLD_MS 60000
/* How long to wait before the next attempt: what the answer says, else by backoff.h. */
int64_t answer_backoff_ms(const struct answer *answer, unsigned attempts, uint32_t noise);

#endif
