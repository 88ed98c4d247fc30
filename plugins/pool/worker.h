/* worker.h - the two things that libpq and libc only do blocking: looking up a name, and asking a server to cancel.
 *
 * Each job has a short-lived thread and memory of its own, which whoever lets go last frees; so a caller leaves at its
 * deadline while the thread still hangs.  At most WORKER_JOBS_MAX hang at a time; beyond that jobs are refused.
 */
#ifndef POOL_WORKER_H
#define POOL_WORKER_H

#include <weir_plugin.h>

#include <libpq-fe.h>
#include <stdatomic.h>

#define WORKER_JOBS_MAX 8u
#define WORKER_ADDRESSES_MAX 8u

struct worker; /* counts the jobs of one pool */

struct worker *worker_new(void);
void worker_free(struct worker *worker); /* jobs may still run */

struct worker_addresses {
    char text[WORKER_ADDRESSES_MAX][64]; /* numeric, for libpq's hostaddr */
    size_t count;
};
/* Looks up a name until the deadline.  WEIR_OK, or a status and in `reason`, of `room` bytes, why. */
int worker_resolve(struct worker *worker, const struct weir_host *host, struct weir_self *user, const char *name,
                   int64_t deadline_ns, struct worker_addresses *addresses, char *reason, size_t room);
/* Asks the server to cancel what the session does; does not wait for it. */
void worker_cancel(struct worker *worker, PGconn *connection);

#endif
