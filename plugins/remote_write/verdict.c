/* verdict.c - deciding; verdict.h says by which rules. */
#include "verdict.h"

#include <stdlib.h>
#include <string.h>

void verdict_header(struct verdict_written *written, const char *line, size_t length)
{
    char value[64];

    if (answer_head_begins(line, length)) {
        *written = (struct verdict_written){0};
    } else if (answer_value(line, length, "X-Prometheus-Remote-Write-Samples-Written", value, sizeof(value))) {
        if (answer_is_number(value) && strlen(value) < 19) {
            written->told = true;
            written->samples = strtoull(value, NULL, 10);
        }
    } else if (answer_value(line, length, "X-Prometheus-Remote-Write-Histograms-Written", value, sizeof(value)) ||
               answer_value(line, length, "X-Prometheus-Remote-Write-Exemplars-Written", value, sizeof(value))) {
        written->told |= answer_is_number(value);
    }
}

enum verdict verdict_of(int status, const struct verdict_written *written, enum protocol protocol, bool may_fall_back, bool proven)
{
    const bool old = protocol == PROTOCOL_2 && may_fall_back && !written->told;

    switch (status) {
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
    if (status >= 200 && status < 300)
        return old ? VERDICT_REENCODE : VERDICT_DONE; /* a receiver of 1.x that read a message without series */
    if (status >= 300 && status < 400)
        return VERDICT_HOLD; /* followed, it might give credentials to others */
    return status >= 500 && status < 600 ? VERDICT_RETRY : VERDICT_REJECTED;
}
