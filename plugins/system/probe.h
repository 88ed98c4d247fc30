/* probe.h - asks mounts for their figures in a thread that may get stuck, as statvfs of a dead server's mount does.
 *
 * One thread answers all probes of a pass, one after another.  If it takes too long its owner leaves it behind with the one
 * it is in, and hands the rest to a new thread; so there is at most one stuck thread for each stuck mount.  A probe belongs
 * to its owner, or, once the owner has left it, to the thread inside.  A thread that was left behind frees itself.
 * Threads: every function but the thread itself runs on the owner's.  The lock of a worker guards its queue; a probe
 * changes hands by its state.
 */
#ifndef SYSTEM_PROBE_H
#define SYSTEM_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/statvfs.h>

struct probe {
    _Atomic unsigned state;
    bool answered; /* set by the thread; cleared by the owner before it asks */
    int error;     /* 0 or an errno; the result is good if 0 */
    struct statvfs result;
    char path[];
};
struct probe_worker;
struct prober {
    int (*ask)(const char *path, struct statvfs *result); /* statvfs, or a test's */
    struct probe_worker *worker;                          /* NULL: none is needed yet */
};

struct probe *probe_new(const char *path);
/* Asks in the caller's thread. */
void probe_ask(struct probe *probe, int (*ask)(const char *path, struct statvfs *result));
/* Whether a thread is still inside; if not, what it answered is there. */
bool probe_busy(struct probe *probe);
/* The owner wants no more of it. */
void probe_leave(struct probe *probe);

/* Lets the worker ask these in their order; none is busy, and the array stays until the worker is ready or was left.
 * Returns 0 or an errno. */
int prober_hand(struct prober *prober, struct probe *const *probes, size_t count);
/* Becomes readable when all that was handed is answered. */
int prober_fd(const struct prober *prober);
/* Leaves the worker behind with the probe it is in, and tells how many of the array it had begun. */
size_t prober_leave(struct prober *prober);
/* Ends the worker; one that is stuck is left behind. */
void prober_stop(struct prober *prober);

#endif
