/* instance.h - one object: a section of the configuration at work, with a thread of its own.
 *
 * The main thread gives an object one task after the other (create, start, run, pause, stop, destroy ...) and waits for each;
 * the object's thread does them, and while it runs, takes what its cursors bring (feed.h) and collects the groups that are due
 * (schedule.h).  What outlives the object belongs to its seat (seat.h).
 *
 * Invariants: a callback of an object never runs twice at a time; `interrupt` is called only while a callback runs; at most one
 * object of a seat runs.  A callback that does not return in time is frozen: should it return, or ask the host for anything,
 * its thread waits until the object is thawed, or abandoned: then it gets nothing from the host any more, its thread touches
 * nothing but itself, and should it come back after all, it destroys its state and ends.
 */
#ifndef WEIR_INSTANCE_H
#define WEIR_INSTANCE_H

#include "config.h"
#include "schedule.h"
#include "seat.h"

#define INSTANCE_REASON_MAX 600u                       /* bytes of a failure's reason */
#ifndef INSTANCE_START_NS /* tests have less patience */
#define INSTANCE_START_NS (30 * INT64_C(1000000000))   /* for create, start and the like */
#define INSTANCE_STUCK_NS (5 * INT64_C(1000000000))    /* after its interruption a callback is named, or given up */
#endif

enum instance_task {
    INSTANCE_IDLE,
    INSTANCE_CREATE,
    INSTANCE_START,
    INSTANCE_RUN,         /* consumes and collects, until the next task */
    INSTANCE_DRAIN,       /* collects no more, consumes */
    INSTANCE_ONCE,        /* one pass of every group */
    INSTANCE_PAUSE,       /* neither; a sink has caught up first */
    INSTANCE_RECONFIGURE, /* takes over `next_section`, then does what it did before */
    INSTANCE_REBIND,      /* tells it of `changed`, then does what it did before */
    INSTANCE_STOP,
    INSTANCE_DESTROY      /* the thread ends */
};

struct instances;
struct generation;

/* The object whose callback this thread is in, or NULL. */
extern _Thread_local const struct weir_self *instance_calling;

struct weir_self { /* one object */
    struct seat *seat;
    uint32_t bit;         /* its holder bit in the seat */
    struct config_section section; /* a copy, whose interval, timeout and max_series may be newer than the rest */
    const struct weir_plugin *plugin;
    struct instances *all;         /* the set that it belongs to */
    struct generation *generation; /* of the configuration that the section's values, labels and bindings lie in */
    void *state;
    struct weir_sample *batch; /* a sink's, FEED_BATCH samples */
    struct schedule schedule;
    _Atomic bool draft;   /* not yet the one that holds the seat */

    pthread_t thread;
    bool has_thread, started; /* the main thread's */
    struct weir_self *next_abandoned; /* the main thread's: in instances' list */
    _Atomic bool finished;    /* abandoned, and its thread has ended after all */
    pthread_mutex_t task_lock; /* over task, done and status */
    pthread_cond_t task_changed;
    _Atomic int task;     /* enum instance_task; also looked at without the lock */
    bool done;
    int status;           /* of the last task */
    int mode;             /* the thread's: INSTANCE_RUN, INSTANCE_DRAIN or INSTANCE_IDLE */
    const struct config_section *next_section;
    const struct weir_binding *changed;

    /* The callback that runs. */
    pthread_mutex_t call_lock;    /* over what follows, held while `interrupt` is called and while the host works for the callback */
    const char *callback;         /* its name; NULL between callbacks */
    struct series_group *call_group; /* of the open pass; NULL outside collect */
    int64_t call_since_ns, call_deadline_ns;
    bool interrupted, overdue_told;
    bool called_off;              /* interrupted, and not for its deadline: it is to return */
    bool frozen, abandoned;
    pthread_cond_t thawed;
    int event_fd;                 /* readable while interrupted */
    char reason[INSTANCE_REASON_MAX]; /* of its failure; of the thread that is in it */

    bool groups_ending;           /* some of them are to be closed after the callback */
    int64_t news_ns;              /* since when there are passes that nobody was woken for; 0: none */
    uint64_t news;                /* samples in them */
    uint32_t failed;              /* passes that committed no values; `weir once` counts them */
    bool limit_told;
    int64_t flush_due_ns;
    bool consume_failing;
};

/* An object for the section, on this seat, without a thread.  NULL: no memory. */
struct weir_self *instance_new(struct instances *all, struct seat *seat, const struct config_section *section, uint32_t bit);
/* Its thread has ended, or it never had one. */
void instance_free(struct weir_self *self);
/* WEIR_EFAIL, logged. */
int instance_thread(struct weir_self *self);

/* On the caller's thread, for an object without one: the plugin's check. */
int instance_check(struct weir_self *self);

/* Gives the next task; the one before is done, or was not begun. */
void instance_give(struct weir_self *self, enum instance_task task);
/* Waits for it until a time (CLOCK_MONOTONIC) at most; true when it is done, with its status. */
bool instance_done(struct weir_self *self, int64_t until_ns, int *status);
/* Makes the callback that runs return soon. */
void instance_interrupt(struct weir_self *self);
/* Freezes the callback that runs; false if it is between callbacks just now, and will come to its task. */
bool instance_freeze(struct weir_self *self);
bool instance_is_frozen(struct weir_self *self);
/* What becomes of a frozen one: it goes on; or it is given up, named and counted. */
void instance_thaw(struct weir_self *self);
void instance_abandon(struct weir_self *self);
/* Joins the thread, which has done INSTANCE_DESTROY. */
void instance_join(struct weir_self *self);

/* Interrupts a callback beyond its deadline and names the one that does not return; *next_ns is lowered to when to look again. */
void instance_supervise(struct weir_self *self, int64_t now_ns, int64_t *next_ns);
/* Interrupts the callback that runs, if it is a collect. */
void instance_interrupt_collect(struct weir_self *self);

/* Holds off freezing while the host works for a callback.  WEIR_EINTR: the object was abandoned and gets nothing; WEIR_EINVAL: this
 * is not the thread of its callbacks. */
int instance_enter(struct weir_self *self);
void instance_leave(struct weir_self *self);

/* In a callback, of what it has committed: when sinks are to hear of it at the latest, INT64_MAX if they have; and telling them. */
int64_t instance_news_until(const struct weir_self *self);
void instance_tell_news(struct weir_self *self);

/* As weir_host.due and next_pass, between enter and leave, in a collect. */
int instance_due(struct weir_self *self, uint32_t *groups, size_t room);
int instance_next_pass(struct weir_self *self, int status, uint32_t group, struct weir_pass *pass);

/* What the status means, or the recorded reason. */
const char *instance_reason(const struct weir_self *self, int status);

#endif
