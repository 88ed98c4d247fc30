/* verdict.h - what follows from an answer.
 *
 * Rules of the specifications of remote write 1.0 and 2.0, with the choices that README.md tells.  Pure functions of their
 * arguments.
 */
#ifndef REMOTE_WRITE_VERDICT_H
#define REMOTE_WRITE_VERDICT_H

#include "answer.h"
#include "encode.h"

struct verdict_written { /* what an answer says that the receiver has written */
    bool told;
    uint64_t samples;
};
/* Reads X-Prometheus-Remote-Write-*-Written; a head that begins makes it nothing. */
void verdict_header(struct verdict_written *written, const char *line, size_t length);
/* may_fall_back: 1.0 may be used instead of 2.0, by VERDICT_REENCODE; proven: the receiver has taken 2.0 before. */
enum verdict verdict_of(int status, const struct verdict_written *written, enum protocol protocol, bool may_fall_back, bool proven);

#endif
