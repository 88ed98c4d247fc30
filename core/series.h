/* series.h - the registry: families, label sets, groups, series, and their current values.
 *
 * A series is a family with a label set, owned by one group of one instance.  Its handle is 24 bits of index and 8 bits of
 * generation; an index is used again, with the next generation, only after every sink has consumed the RELEASED record.
 * Making and releasing takes the registry's lock; publishing and reading take none.
 *
 * Cells, one per index, hold the current value twice.  A pass writes the half that the last committed pass did not use,
 * and commits by storing its turn and its half in the group's `committed`.  A reader loads `committed`, reads that
 * half, and loads `committed` again: if it is the same, no later pass can have written there, for a writer comes back to
 * a half only after a commit to the other one, and every word is stored with release and loaded with acquire.
 * A series is live in a half if its mark there is the committed turn; so a pass that leaves a series out has made it
 * stale by doing nothing.
 *
 * Groups are never freed.  One that has ended loses its name once every sink has consumed its last mark, and is then the
 * instance's next new group, with its id and its indexes; its turns and numbers go on, so that nobody takes a value of the one for
 * one of the other.  What it has counted stays with its kind.
 *
 * Threads: functions that take a group run on the thread of the instance that owns it, except where said otherwise.
 */
#ifndef WEIR_SERIES_H
#define WEIR_SERIES_H

#include "weir_plugin.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define SERIES_INDEX_BITS 24u
#define SERIES_INDEX_MAX ((1u << SERIES_INDEX_BITS) - 1u)
#define SERIES_LABELS_MAX 40u       /* labels of one series */
#define SERIES_NAME_MAX 256u        /* bytes of a family's or label's name */
#define SERIES_VALUE_MAX 4096u      /* bytes of a label's value, after replacement of what is not UTF-8 */
#define SERIES_GROUPS_MAX 65535u    /* the most that all instances have had at a time, together */
#define SERIES_FAMILIES_MAX 65535u  /* families ever made */

enum series_cell_flag {
    SERIES_IS_COUNTER = 1, /* falls only by starting again */
    SERIES_HAS_EXEMPLARS = 64, /* may be given some */
    SERIES_HAS_START = 2,  /* has started again: its start time is in `starts` */
    SERIES_DYING = 4,      /* released */
    SERIES_BURIED = 8,     /* RELEASED is published: waits for its index to be free */
    SERIES_CLAIMED = 16,   /* asked for by the draft of a reload */
    SERIES_FRESH = 32      /* ... and by nobody else */
};

/* 32 bytes per series, the only memory that publishing touches. */
struct series_cell {
    _Atomic uint64_t bits[2];
    _Atomic uint32_t mark[2]; /* turn of the pass that wrote bits, and SERIES_MARK_... */
    _Atomic uint32_t handle;  /* 0 while the index is free */
    uint16_t flags;           /* the owner's: enum series_cell_flag */
    uint16_t group;           /* the owner's */
};
#define SERIES_MARK_U64 0x80000000u   /* bits are an integer */
#define SERIES_MARK_START 0x40000000u /* the value had a start time */
#define SERIES_TURN_MASK 0x3fffffffu

struct series_family {
    uint32_t id, kind;
    uint16_t flags;           /* enum series_cell_flag, of its series */
    bool has_le, has_quantile; /* its series have this label, a number */
    const char *name, *unit, *help;
};
/* What a series is; written before its handle is shown, changed after every sink has passed its end. */
struct series_meta {
    uint32_t labelset; /* id; of a free series: index of the group's next free one */
    uint16_t family;
};

/* A run of indexes that belong to one group. */
struct series_extent {
    uint32_t first;         /* set before count */
    _Atomic uint32_t count; /* 0 until there are series */
    _Atomic(struct series_extent *) next;
};

/* What one instance's groups of one kind have counted and have lost with their names.  Lives as long as a group has it. */
struct series_kind {
    struct series_kind *next;   /* the instance's next, in the order in which they were made */
    struct series_group *first; /* those that have it */
    uint64_t serial;            /* no other kind's, ever */
    uint64_t passes_ok, passes_kept, passes_failed, missed, overruns, collect_ns_sum;
    char name[];
};

/* A group and the values of its last pass.  Lives as long as the registry. */
struct series_group {
    uint32_t id;
    uint32_t source;        /* id of the instance */
    const char *source_name;
    struct series_groups *all; /* of the instance */
    _Atomic(struct series_group *) sibling; /* the instance's next group */
    _Atomic uint32_t holders; /* bits of the objects that have it (seat.h); 0: ended */

    /* Changed under the names' lock (series_names_lock), for anyone but its owner to read there. */
    char *name;             /* NULL: free */
    struct series_kind *kind; /* groups of one kind are told of together; that with which it got its name */
    struct series_group *next_of_kind, *next_free;
    uint32_t graves;        /* how often it lies in its instance's (pass.h) */
    bool ended;             /* its last end lies there, or has; also of one that never began */

    /* The owner's. */
    uint32_t turn;          /* of the open or last pass; grows also when a pass is aborted */
    uint64_t number;        /* passes closed by a mark */
    uint32_t live;          /* series with a value in the committed pass */
    uint32_t seen, born;    /* in the open pass: published ones that were live, and others */
    uint32_t free_index;    /* head of the list of free series */
    uint32_t dying_count, dying_room;
    uint32_t *dying;        /* indexes whose RELEASED is due at the next commit */
    struct series_extent *last_extent;
    uint32_t used;          /* indexes used in last_extent */

    /* For everyone. */
    _Atomic uint64_t interval_ns;    /* between its turns */
    _Atomic uint64_t committed;      /* turn << 1 | half; 0: nothing yet */
    _Atomic uint64_t times[2], numbers[2]; /* of the pass in each half, ns and number */
    _Atomic uint32_t statuses[2];    /* enum weir_pass_status of it */
    _Atomic uint32_t counts[2];      /* values in it */
    _Atomic bool kept;               /* passes since then changed nothing */
    struct series_extent extents;    /* first of the list */

    /* Counters, written by the owner. */
    _Atomic uint64_t passes_ok, passes_kept, passes_failed, missed, overruns;
    _Atomic uint64_t collect_ns_sum, collect_ns_last, late_ns_last, late_ns_max;
    _Atomic uint64_t success_ns; /* time of the last pass that was committed with values, of a wall clock; 0: none yet */
    _Atomic uint64_t series; /* that exist */
};

/* The groups of one instance, in the order in which they were first made. */
struct series_groups {
    _Atomic(struct series_group *) first;
    struct series_group *last;       /* this and the next three under the names' lock */
    struct series_group *free, *last_free; /* without a name, free for longest first */
    struct series_kind *kinds;
    _Atomic uint64_t count;          /* with a name */
    _Atomic uint64_t series, ending; /* that exist, and that are listed as dying, in all of them */
};

struct series_stats {
    uint64_t series, families, labelsets, groups;
    uint64_t bytes; /* of the registry, about */
};

struct series_registry;

/* max_series of all instances together. */
struct series_registry *series_registry_new(uint32_t max_series);
/* Another limit; series over it stay. */
void series_registry_limit(struct series_registry *registry, uint32_t max_series);
void series_registry_free(struct series_registry *registry);
void series_registry_stats(struct series_registry *registry, struct series_stats *stats);

/* All of these return a status; `why` gets the reason of a refusal. */
int series_family(struct series_registry *registry, const struct weir_family *family, uint32_t *id, char *why,
                  size_t why_size);
/* Finds or makes the group of this name for the object with this bit, among all of the instance.  WEIR_EINVAL if the object has it
 * already. */
int series_group_new(struct series_registry *registry, struct series_groups *all, uint32_t source,
                     const char *source_name, const char *name, const char *kind, uint32_t bit, struct series_group **out,
                     char *why, size_t why_size);
struct series_group *series_group_get(struct series_registry *registry, uint32_t id); /* any thread; NULL if none */
/* Its end lies in a grave; every sink is past a grave: if it has not begun again it loses its name, and may get another. */
void series_group_bury(struct series_registry *registry, struct series_group *group);
void series_group_reuse(struct series_registry *registry, struct series_group *group);
/* Any thread: no group gets or loses a name, no kind comes or goes. */
void series_names_lock(struct series_registry *registry);
void series_names_unlock(struct series_registry *registry);

/* What series_make is given besides labels and families. */
struct series_request {
    const struct weir_label *extra; /* labels of the section, put on all */
    size_t nextra;
    uint64_t room; /* how many more the instance may make */
    bool draft;    /* for the draft of a reload: series_draft_end decides what stays */
};
/* Finds or makes series.  WEIR_ELIMIT if some were refused (their handles are WEIR_NO_SERIES). */
int series_make(struct series_registry *registry, struct series_group *group, const struct weir_label *labels,
                size_t nlabels, const uint32_t *families, size_t nfamilies, const struct series_request *request,
                uint32_t *handles, char *why, size_t why_size);
/* Puts series on the group's dying list; WEIR_ESTALE for a handle that is not the group's (the others are released).  A draft
 * only takes its claim back. */
int series_release(struct series_registry *registry, struct series_group *group, const uint32_t *handles, size_t count,
                   bool draft);
/* Between passes: a draft has become the group's owner (what it did not claim is released) or was given up (what it alone
 * claimed is released). */
int series_draft_end(struct series_registry *registry, struct series_group *group, bool adopted);
/* Releases what the last `passes` turns did not publish. */
int series_sweep(struct series_registry *registry, struct series_group *group, unsigned passes);
/* Releases everything in the group. */
int series_release_all(struct series_registry *registry, struct series_group *group);
/* The RELEASED record of this series was published: it can be found no longer. */
void series_bury(struct series_registry *registry, struct series_group *group, uint32_t index);
/* Every sink has consumed the RELEASED record: the index may be used again. */
void series_reuse(struct series_registry *registry, uint32_t index);

/* Finds or makes the label set of an exemplar and holds it; 0: it is too long, no label set, or there is no memory.  Then it can be
 * read until it is left. */
uint32_t series_exemplar_labels(struct series_registry *registry, const struct weir_label *labels, size_t nlabels);
int series_exemplar_labels_get(struct series_registry *registry, uint32_t id, const struct weir_label **labels, size_t *nlabels);
void series_exemplar_labels_leave(struct series_registry *registry, uint32_t id);

/* Cells by index; valid for any index below 2^24. */
struct series_cell *series_cells(struct series_registry *registry);
/* Start times by index, ns; meaningful for cells with SERIES_HAS_START. */
_Atomic int64_t *series_starts(struct series_registry *registry);

/* Any thread: what a handle stands for, or WEIR_ESTALE. */
int series_info(struct series_registry *registry, uint32_t handle, struct weir_series_info *info);

/* Any thread: a consistent copy of a group's live values as samples, closed by a mark.  Grows *samples (of *room; both may
 * start as NULL and 0; the caller frees) and gives their number.  WEIR_EAGAIN if the group has had no pass, or commits
 * faster than it can be read; WEIR_ENOMEM. */
int series_snapshot(struct series_registry *registry, const struct series_group *group, struct weir_sample **samples,
                    size_t *room, size_t *count);

#endif
