/* verdict.c - deciding; verdict.h says by which rules. */
#include "verdict.h"

#include <stdlib.h>
#include <string.h>

void verdict_header(struct answer *answer, const char *line, size_t length)
{
    char value[64];

    if (answer_value(line, length, "X-Prometheus-Remote-Write-Samples-Written", value, sizeof(value))) {
        if (answer_is_number(value) && strlen(value) < 19) {
            answer->written_told = true;
            answer->written = strtoull(value, NULL, 10);
        }
    } else if (answer_value(line, length, "X-Prometheus-Remote-Write-Histograms-Written", value, sizeof(value)) ||
               answer_value(line, length, "X-Prometheus-Remote-Write-Exemplars-Written", value, sizeof(value))) {
        answer->written_told |= answer_is_number(value);
    }
}

enum verdict verdict_of(const struct answer *answer, enum protocol protocol, bool may_fall_back, bool proven)
{
    const bool old = protocol == PROTOCOL_2 && may_fall_back && !answer->written_told;

    switch (answer->status) {
    case 0:
    case 429: return VERDICT_RETRY;
    case 413: return VERDICT_SPLIT;
    case 401:
    case 403:
    case 407: return VERDICT_HOLD;
    case 415: return protocol == PROTOCOL_2 && may_fall_back ? VERDICT_REENCODE : VERDICT_REJECTED;
    case 400: return old && !proven ? VERDICT_REENCODE : VERDICT_REJECTED; /* a receiver of 1.x that could not read it */
    default: break;
    }
    if (answer->status >= 200 && answer->status < 300)
        return old ? VERDICT_REENCODE : VERDICT_DONE; /* a receiver of 1.x that read a message without series */
    if (answer->status >= 300 && answer->status < 400)
        return VERDICT_HOLD; /* followed, it might give credentials to others */
    return answer->status >= 500 && answer->status < 600 ? VERDICT_RETRY : VERDICT_REJECTED;
}
