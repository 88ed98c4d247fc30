/* weir_plugin.h - the contract between weir and its plugins, major version 1.
 *
 * A plugin is a shared object that exports one symbol, weir_plugin_v1.  The host calls it once after loading; it
 * returns a description of the plugin, or NULL when the plugin cannot work here (say why through host->log first).
 * Every section of the configuration that names the plugin becomes an *instance* of it, with a thread of its own.
 *
 * Threads: every callback of an instance runs on the instance's own thread, one at a time, except `interrupt`, which
 * may come from any thread, and `check`, which runs on the main thread before there is another.  What an instance offers
 * (service tables, HTTP routes) runs on the caller's thread.
 * Host functions may be called from the instance's callbacks; those marked [any] from any thread of the plugin.
 * Memory: nothing is freed across the boundary.  `const T *` is borrowed for the call unless a comment says longer.
 * Growth: structs begin with their size; fields are only ever appended; both sides copy the smaller size into a zeroed
 * struct.  Arrays of structs travel with a stride.  Until the first release this header may still change.
 */
#ifndef WEIR_PLUGIN_H
#define WEIR_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_ABI_MINOR 0u /* grows by one with every field or function appended */

#if defined(__GNUC__)
#define WEIR_PRINTF(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))
#define WEIR_EXPORT __attribute__((visibility("default")))
#else
#define WEIR_PRINTF(format_index, first_argument)
#define WEIR_EXPORT
#endif

/* True if the owner of PTR was built with FIELD and has set it.  TYPE starts with `size`. */
#define WEIR_HAS(ptr, type, field) \
    ((ptr)->size >= offsetof(type, field) + sizeof((ptr)->field) && (ptr)->field)

/* What callbacks and host functions return: 0 or above is success, below is failure. */
enum weir_status {
    WEIR_OK = 0,
    WEIR_KEEP = 1,      /* collect: nothing new, the values of the last pass stay and their age grows */
    WEIR_RESTART = 2,   /* reconfigure: this change needs a new instance */
    WEIR_EFAIL = -1,    /* failed for a reason that was logged or given to host->fail */
    WEIR_ECONFIG = -2,  /* the configuration is wrong */
    WEIR_EAGAIN = -3,   /* not now, later perhaps */
    WEIR_ETIMEOUT = -4, /* the deadline passed */
    WEIR_EINTR = -5,    /* interrupted by the host */
    WEIR_ENOMEM = -6,
    WEIR_ELIMIT = -7,   /* a configured limit (max_series) is reached */
    WEIR_ESTALE = -8,   /* the handle was released */
    WEIR_EINVAL = -9    /* the argument breaks this contract */
};

enum weir_level { WEIR_ERROR = 3, WEIR_WARNING = 4, WEIR_NOTICE = 5, WEIR_INFO_LEVEL = 6, WEIR_DEBUG = 7 };

struct weir_self;    /* the host's handle of one instance */
struct weir_binding; /* a configured use of another instance's service */
struct weir_secret;  /* a password or token that nothing prints */
struct weir_call;    /* one run of a command */

/* ---- Options ---------------------------------------------------------------------------------------------------- */

/* Types of options, and what the parsed value is in the config struct at `offset`. */
enum weir_option_type {
    WEIR_BOOL = 1, /* bool (one byte) */
    WEIR_INT,      /* int64_t, within min..max */
    WEIR_SIZE,     /* int64_t bytes; text may end in B, kB, MB, GB, KiB, MiB, GiB */
    WEIR_DURATION, /* int64_t nanoseconds; text is a number with ns, us, ms, s, m, h or d; min and max in nanoseconds */
    WEIR_STRING,   /* const char *, NULL when unset */
    WEIR_SECRET,   /* const struct weir_secret *, NULL when unset; the host also takes NAME_file, a path */
    WEIR_ENUM,     /* int64_t, the index into `choices` */
    WEIR_LIST,     /* struct weir_list of strings */
    WEIR_SERVICE,  /* struct weir_binding *, NULL when unset; text is the title of the instance that provides it */
    WEIR_SECTION   /* struct weir_rows: repeated sub-sections, each parsed into `row_size` bytes by `rows` */
};
enum weir_option_flag {
    WEIR_REQUIRED = 1,
    WEIR_RELOADABLE = 2, /* a change goes through reconfigure; without it a change means a new instance */
    WEIR_DEPRECATED = 4,
    WEIR_TITLE = 8       /* in the rows of a WEIR_SECTION: the WEIR_STRING that takes the sub-section's title */
};
struct weir_list {
    const char *const *items;
    size_t count;
};
struct weir_rows {
    const void *rows; /* count structs of the section's row_size bytes each */
    size_t count;
};
struct weir_option { /* one row of a schema; a schema ends at name == NULL */
    const char *name;
    const char *dflt;                /* as it would be written in the file; NULL: unset, zero */
    const char *help;                /* one sentence, for `weir describe`, the manual and the sample file */
    const char *const *choices;      /* WEIR_ENUM: NULL-terminated */
    const struct weir_option *rows;  /* WEIR_SECTION: the schema of one sub-section */
    const char *service;             /* WEIR_SERVICE: name of the service */
    size_t row_size;                 /* WEIR_SECTION */
    size_t offset;                   /* where the value lands in the config struct (or row) */
    int64_t min, max;                /* checked when min < max: value, length of a list or text, number of rows */
    uint32_t type, flags;
    uint32_t service_version;        /* WEIR_SERVICE: least version wanted */
};

/* ---- What is measured ------------------------------------------------------------------------------------------- */

/* A histogram "x" is three families of that kind: x_bucket, whose series have a label `le` with the upper bound of what they count,
 * "+Inf" among them, x_sum and x_count.  A summary is x, whose series have a label `quantile`, x_sum and x_count.  The host writes
 * these labels' numbers in their canonical form ("1.0", "1e-05", "+Inf"), whatever form they are given in.  Those of one label set
 * belong into one pass.  Buckets, x_count, and x_sum of a histogram are counters. */
enum weir_kind { WEIR_UNKNOWN = 0, WEIR_GAUGE, WEIR_COUNTER, WEIR_INFO, WEIR_HISTOGRAM, WEIR_SUMMARY };

struct weir_family { /* copied by the host */
    uint32_t size, kind;
    const char *name; /* [a-zA-Z_:][a-zA-Z0-9_:]*, full, as exposed */
    const char *unit; /* base unit in plural ("seconds", "bytes"), or NULL */
    const char *help; /* one line of UTF-8 */
};
struct weir_label {
    const char *name, *value; /* bytes that are not UTF-8 are replaced by \xNN; an empty value is no label */
};
/* What is read together, at one time: one query in one database, one INFO.  Copied by the host. */
struct weir_group {
    uint32_t size;
    const char *name;    /* unique in the instance */
    int64_t interval_ns; /* 0: the instance's.  After a failure one that is longer has extra turns before its next: when one
                            interval of the instance has passed, then two, four ... */
    int64_t timeout_ns;  /* 0: the instance's */
    void *context;       /* comes back in struct weir_pass */
    const char *kind;    /* NULL: the name.  The host's own metrics tell of all groups of one kind together, in label `group`; a
                            group keeps the kind that it was added with until it has ended */
    int64_t offset_ns;   /* moves the turns after the first on the grid of the interval: spreads what need not be read together */
    int64_t interval_min_ns; /* where interval_ns is 0: the instance's interval, but not less than this */
    uint32_t priority;   /* of the groups that are due the smallest comes first, then the one due longest, then the one added first;
                            one with a larger number waits as long as others are due */
    uint32_t reserved;
};

#define WEIR_NO_SERIES 0u /* a handle that publish skips */
/* These bits of a handle are an index from 1, dense and reused, so that a sink can keep what it needs in arrays. */
#define WEIR_SERIES_INDEX 0x00ffffffu

enum weir_value_flag { WEIR_F64 = 0, WEIR_U64 = 1 };
struct weir_value {
    uint32_t series; /* a handle from host->series */
    uint32_t flags;  /* WEIR_F64 or WEIR_U64: which member is set */
    union {
        double f64;
        uint64_t u64; /* keeps counters exact above 2^53 */
    } value;
};

/* One event that a value has counted, such as a request with its trace id (OpenMetrics 1.0, exemplars). */
#define WEIR_EXEMPLAR_CHARACTERS 128u /* of the names and values of its labels, together, at most */
struct weir_exemplar {
    const struct weir_label *labels;
    size_t nlabels;
    double value;    /* of the event, in the unit of the family */
    int64_t time_ns; /* CLOCK_REALTIME; 0: the pass's */
};

/* One turn of one group, given to collect.  The host opens the pass before and closes it after the call. */
struct weir_pass {
    uint32_t size;
    uint32_t group;      /* id from host->group */
    void *context;       /* of the group */
    int64_t deadline_ns; /* CLOCK_MONOTONIC; interrupt is called when it passes */
    int64_t time_ns;     /* CLOCK_REALTIME of the pass, the time of every value published in it */
    uint64_t number;     /* grows with every pass of the group */
};

/* ---- What sinks get --------------------------------------------------------------------------------------------- */

/* A sample as it travels on the ring: four words. */
struct weir_sample {
    uint64_t head; /* low 32 bits: series handle (in a mark: group id); high 32 bits: WEIR_S_* */
    int64_t time_ns;
    uint64_t bits; /* the double's bits, or the integer; in a mark: samples in the pass */
    uint64_t aux;  /* WEIR_S_START: start time of a counter, ns; in a mark: number of the pass; in an exemplar: id of its label set;
                      else 0 */
};
enum weir_sample_flag {
    WEIR_S_U64 = 1,      /* bits is an unsigned integer */
    WEIR_S_STALE = 2,    /* the series was in the last pass of its group and is not in this one; no value */
    WEIR_S_MARK = 4,     /* closes a pass; status in bits 8..15 of the flags (enum weir_pass_status) */
    WEIR_S_RELEASED = 8, /* the handle ends here; after consume returns its index may mean another series */
    WEIR_S_START = 16,   /* aux is the start time of the counter */
    WEIR_S_EXEMPLAR = 32 /* no value, but an exemplar of the value before it, which is in the same batch; bits are a double */
};
enum weir_pass_status { WEIR_PASS_OK = 0, WEIR_PASS_KEPT = 1, WEIR_PASS_FAILED = 2 };

static inline uint32_t weir_sample_series(const struct weir_sample *s) { return (uint32_t)s->head; }
static inline uint32_t weir_sample_flags(const struct weir_sample *s) { return (uint32_t)(s->head >> 32); }
static inline uint32_t weir_mark_status(const struct weir_sample *s) { return (uint32_t)(s->head >> 40) & 0xffu; }
static inline double weir_sample_f64(const struct weir_sample *s)
{
    union {
        uint64_t u;
        double d;
    } both;
    both.u = s->bits;
    return (s->head >> 32) & WEIR_S_U64 ? (double)s->bits : both.d;
}

enum weir_batch_flag {
    WEIR_B_SNAPSHOT = 1, /* current values, not news: all of one group, closed by the mark of its last pass; news of the group that
                            come later and are not newer are in it already */
    WEIR_B_GAP = 2       /* an empty batch: `lost` samples of this source are gone, WEIR_S_RELEASED perhaps among them;
                            forget every handle of the source, snapshots of all its groups follow; the next batch of the source with
                            neither flag, perhaps an empty one, is behind them */
};
struct weir_batch { /* borrowed for the call */
    uint32_t size;
    uint32_t flags;
    uint32_t source;         /* id of the instance that published */
    uint32_t reserved;
    const char *source_name; /* its name, for as long as the process lives */
    uint64_t lost;           /* samples and exemplars this sink lost in this lane since its last batch */
    const struct weir_sample *samples;
    size_t nsamples;
};

/* What a handle stands for.  Valid until the sink's consume has returned from the WEIR_S_RELEASED of the handle. */
struct weir_series_info {
    uint32_t size;
    uint32_t kind;
    uint32_t family;   /* dense id, never reused; the same for two plugins that share the family */
    uint32_t labelset; /* dense id, reused once no series has it any more */
    uint32_t group;    /* dense id, reused by later groups of the same instance: times never go back from one to the other */
    uint32_t source;   /* id of the instance */
    const char *name, *unit, *help; /* of the family, for as long as the process lives; unit may be NULL */
    const struct weir_label *labels; /* sorted by name, UTF-8, without empty values */
    size_t nlabels;
};

/* ---- The host ---------------------------------------------------------------------------------------------------- */

/* Services of the host: one table for the process, append only. */
struct weir_host {
    uint32_t size, abi_minor;

    /* Messages.  self may be NULL only inside weir_plugin_v1.  A line that repeats is limited and counted.  [any] */
    void (*log)(struct weir_self *self, int level, const char *format, ...) WEIR_PRINTF(3, 4);
    /* Records why the present callback fails, and returns `status`, so that `return host->fail(...)` is one statement.
     * The host logs it when the state of the instance or group changes, not each time.  [any] */
    int (*fail)(struct weir_self *self, int status, const char *format, ...) WEIR_PRINTF(3, 4);
    /* Title of the instance, or the plugin's name for a plugin without titles.  Lives as long as the process.  [any] */
    const char *(*name)(struct weir_self *self);

    /* Time.  [any] */
    int64_t (*now_ns)(void);  /* CLOCK_MONOTONIC */
    int64_t (*wall_ns)(void); /* CLOCK_REALTIME */
    /* Waits until fd is ready for `events` (POLLIN, POLLOUT), the deadline passes, or the instance is interrupted.
     * fd -1 sleeps.  Returns the ready events (> 0), WEIR_ETIMEOUT or WEIR_EINTR; other errors as WEIR_EFAIL.
     * Service functions pass the self of their caller. */
    int (*wait_fd)(struct weir_self *self, int fd, int events, int64_t deadline_ns);

    /* Secrets: copies the text, NUL-terminated, into buffer and returns its length; reads a file-backed one afresh.
     * The caller wipes the buffer (explicit_bzero).  WEIR_EFAIL with the reason recorded.  [any] */
    int (*secret)(struct weir_self *self, const struct weir_secret *secret, char *buffer, size_t size);

    /* Definitions, from a source's create, start or collect.  All return a status; ids and handles come by pointer. */
    /* Adds a group; its first pass is due at once, later ones each interval. */
    int (*group)(struct weir_self *self, const struct weir_group *group, uint32_t *id);
    /* Ends a group: its live series become stale and all its series are released.  Once every sink has seen that, its id may be
     * another group's; what it has counted stays in the figures of its kind, as long as that has groups. */
    int (*group_end)(struct weir_self *self, uint32_t id);
    /* Finds or makes a family.  WEIR_EINVAL if it exists with another kind or unit. */
    int (*family)(struct weir_self *self, const struct weir_family *family, uint32_t *id);
    /* Finds or makes one series per family for one label set (the labels of the section are added).  A series over the
     * limit gets WEIR_NO_SERIES and the call returns WEIR_ELIMIT, which may be ignored: it is counted and named once.
     * WEIR_EINVAL if another instance or group has the series. */
    int (*series)(struct weir_self *self, uint32_t group, const struct weir_label *labels, size_t nlabels,
                  const uint32_t *families, size_t nfamilies, uint32_t *handles);
    /* Gives series back.  Live ones become stale with the next pass of their group. */
    int (*release)(struct weir_self *self, const uint32_t *handles, size_t count);
    /* Releases the series of a group that the last `passes` passes did not publish; returns how many. */
    int (*sweep)(struct weir_self *self, uint32_t group, unsigned passes);

    /* Publishes values into the open pass of the present collect call; copies, never blocks, never formats or hashes.
     * Values with WEIR_NO_SERIES are skipped.  Refused and counted: a released handle (WEIR_ESTALE), a series of another
     * group, a series published twice in one pass (WEIR_EINVAL); the others are published all the same. */
    int (*publish)(struct weir_self *self, const struct weir_value *values, size_t count);

    /* The same for one value with exemplars, of a counter or a bucket.  Exemplars that cannot be taken, being too long or more than
     * sinks have come to, are left out and counted. */
    int (*publish_exemplars)(struct weir_self *self, const struct weir_value *value, const struct weir_exemplar *exemplars,
                             size_t count);

    /* Inside collect alone, so that one trip to a server may serve several groups: */
    /* Stores the ids of the instance's other groups that are due now, in the order in which they would have their turns, `room` of
     * them at most; returns how many. */
    int (*due)(struct weir_self *self, uint32_t *groups, size_t room);
    /* Ends the present pass as if collect had returned `status`, and begins that of `group`, described in *pass (the caller sets
     * pass->size): its deadline counts from now, an interruption at the former deadline is over, and what collect returns is the
     * status of the last pass begun.  Otherwise nothing has changed, and the present pass is still open: WEIR_EAGAIN if the group
     * is not due; WEIR_EINTR if collect is to return soon, because something else waits for the instance. */
    int (*next_pass)(struct weir_self *self, int status, uint32_t group, struct weir_pass *pass);

    /* For sinks.  [any thread that holds off the sink's own consume] */
    int (*series_info)(struct weir_self *self, uint32_t handle, struct weir_series_info *info);
    /* The labels of an exemplar, by the id in its sample; sorted by name, UTF-8.  Inside the consume that is given the sample, and
     * borrowed for that call. */
    int (*exemplar_labels)(struct weir_self *self, uint32_t id, const struct weir_label **labels, size_t *nlabels);
    /* Calls visit with the current values of every live group of every source, one consistent group after another:
     * batches flagged WEIR_B_SNAPSHOT, all with the same `source` and closed by the group's mark.  Stops when visit
     * returns other than WEIR_OK and returns that. */
    int (*current)(struct weir_self *self, int (*visit)(void *context, const struct weir_batch *batch), void *context);

    /* Services.  Between enter and leave the table may be called; the first argument of its functions is *provider.
     * WEIR_EAGAIN while the provider is down; one that is just being replaced is waited for, a second at most.  [any] */
    int (*service_enter)(struct weir_self *self, struct weir_binding *binding, const void **table, void **provider);
    void (*service_leave)(struct weir_self *self, struct weir_binding *binding);

    /* From start: a socket, not blocking, that listens on host and port (host "": all addresses).  It is the host's and stays open
     * while a reload replaces the object, so that no connection is refused; the same address gives the same socket. */
    int (*listen)(struct weir_self *self, const char *host, const char *port, int *fd);

    /* Inside a command.  `out` 1 is its standard output, 2 its standard error.  WEIR_EINTR once nobody reads any more: end soon. */
    int (*print)(struct weir_call *call, int out, const char *format, ...) WEIR_PRINTF(3, 4);
    /* As wait_fd; WEIR_EINTR also when whoever runs the command has gone or pressed Ctrl-C. */
    int (*call_wait)(struct weir_call *call, int fd, int events, int64_t deadline_ns);
};

/* ---- The plugin -------------------------------------------------------------------------------------------------- */

enum weir_role {
    WEIR_SOURCE = 1,  /* has collect */
    WEIR_SINK = 2,    /* has consume */
    WEIR_PROVIDER = 4 /* offers services */
};
enum weir_plugin_flag {
    WEIR_SINGLE = 1,    /* one instance without a title; otherwise every section needs a title */
    WEIR_EXCLUSIVE = 2, /* start takes what a running collector may hold, such as a port: `weir once` leaves it out */
    WEIR_ALIKE = 4      /* instances make series of the same names and labels: all but one need labels of their own */
};
struct weir_service { /* what an instance offers to others between start and stop */
    const char *name; /* "pool" */
    uint32_t version;
    uint32_t reserved;
    const void *table; /* const struct of functions that take the provider's state first */
};

/* `weir PLUGIN COMMAND ARGUMENT...`, or `weir PLUGIN/TITLE COMMAND ...` where there are several instances. */
enum weir_command_flag {
    WEIR_OFFLINE = 1 /* runs in a process of its own, on a created but not started state, with the services it uses started;
                        otherwise in the collector, on the caller's thread, concurrently, only between start and stop */
};
struct weir_command {
    const char *name, *arguments, *summary; /* "queue", "[verify]", one line */
    /* argv[0] is the command's name; argv[argc] is NULL.  The exit status, 0 to 125; below 0 a status, told as failure. */
    int (*run)(void *state, struct weir_call *call, int argc, const char *const *argv);
    uint32_t flags, reserved;
};

struct weir_plugin { /* static const in the plugin; append only */
    uint32_t size, abi_minor; /* sizeof(struct weir_plugin), WEIR_ABI_MINOR */
    uint32_t roles, flags;
    const char *name, *version, *summary;
    const struct weir_option *options; /* or NULL */
    const struct weir_service *services; /* ends at name == NULL; or NULL */
    uint32_t option_stride, service_stride; /* sizeof(struct weir_option), sizeof(struct weir_service) */
    size_t config_size; /* of the struct that the options' offsets point into */

    /* The config is the host's, read-only, and outlives the state made from it.  All but `create` may be NULL. */
    /* Beyond what the schema checks; no effects, and no I/O but host->secret, whose file the host has just looked at.  WEIR_ECONFIG
     * with the reason through host->fail. */
    int (*check)(struct weir_self *self, const void *config);
    /* Makes the state; takes nothing that another instance may hold (no port, no connection). */
    int (*create)(struct weir_self *self, const void *config, void **state);
    /* Begins to work; services that the instance uses are up.  May come again after stop, when a reload failed. */
    int (*start)(void *state);
    /* Takes a changed config of which only WEIR_RELOADABLE options differ, or says WEIR_RESTART.  After WEIR_OK the one before is
     * gone; after a failure the instance goes on as it was. */
    int (*reconfigure)(void *state, const void *config);
    /* Source: reads one group and publishes it.  WEIR_OK commits; WEIR_KEEP leaves the old values; failure commits an
     * empty pass, so that everything of the group is stale, and is tried again before long.  May block until the deadline,
     * and go on with host->next_pass. */
    int (*collect)(void *state, const struct weir_pass *pass);
    /* Sink: takes samples in the order they were published.  Failure is logged; the samples count as delivered. */
    int (*consume)(void *state, const struct weir_batch *batch);
    /* Sink: called when it has caught up with all lanes, at least once per its interval, and before stop. */
    int (*flush)(void *state, int64_t deadline_ns);
    /* Ends the work; nobody is inside its services any more. */
    int (*stop)(void *state);
    void (*destroy)(void *state);
    /* Makes a blocked callback return soon.  Any thread; must not block or call the host.  wait_fd returns by itself. */
    void (*interrupt)(void *state);
    /* The provider of this binding was replaced while the instance ran: what was left with it (a route) is gone, leave it again. */
    int (*provider_changed)(void *state, const struct weir_binding *binding);
    const struct weir_command *commands; /* ends at name == NULL; or NULL */
    uint32_t command_stride, reserved;   /* sizeof(struct weir_command) */
};

/* ---- Services that the host itself uses ------------------------------------------------------------------------------ */

/* "prometheus.text": the current values that `self` can see, as text 0.0.4.  Needs no running instance: provider is NULL. */
#define WEIR_TEXT_SERVICE "prometheus.text"
#define WEIR_TEXT_VERSION 1u
struct weir_text {
    uint32_t size, version;
    /* Calls write with one piece after the other, until it returns below 0, which is returned. */
    int (*render)(void *provider, struct weir_self *self, int (*write)(void *context, const char *text, size_t length),
                  void *context);
};

/* The only symbol a plugin exports.  `host` stays valid as long as the process. */
WEIR_EXPORT const struct weir_plugin *weir_plugin_v1(const struct weir_host *host);

#ifdef __cplusplus
}
#endif
#endif
