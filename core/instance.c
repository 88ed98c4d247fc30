/* instance.c - the life of one object; instance.h says who asks for what.
 *
 * Read from the bottom for the life of an object, from run for its work, from run_group for one pass.
 */
#include "instance.h"

#include "fatal.h"
#include "log.h"
#include "util/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FLUSH_NS (10 * CLOCK_SECOND_NS)
#define DRAIN_NS (2 * CLOCK_SECOND_NS)       /* for catching up before a task */
#define TOGETHER_NS (CLOCK_SECOND_NS / 1000)
#define LANE_IDLE_NS (CLOCK_SECOND_NS / 10)
#define WAITING_NS (CLOCK_SECOND_NS / 10)    /* in a wait of a collect, sinks hear so late of a pass that it ended with next_pass */
#define NEWS_MAX 32768u                      /* ... and at once of as many samples as this: a MiB */
#define RETOLD_NS (60 * CLOCK_SECOND_NS)     /* another reason of the same failure is told this often */
#define SUPERVISE_MIN_NS (CLOCK_SECOND_NS / 5)
#define STACK_BYTES (512u * 1024u)

_Thread_local const struct weir_self *instance_calling;

/* ---- One callback ----------------------------------------------------------------------------------------------- */

/* Under call_lock: what begins has a deadline of its own; an interruption of what was before is over. */
static void call_limit(struct weir_self *self, struct series_group *group, int64_t now_ns, int64_t deadline_ns)
{
    uint64_t drained;

    self->call_group = group;
    self->call_since_ns = now_ns;
    self->call_deadline_ns = deadline_ns;
    self->overdue_told = false;
    self->called_off = false;
    if (self->interrupted) {
        self->interrupted = false;
        (void)!read(self->event_fd, &drained, sizeof(drained));
    }
    self->reason[0] = '\0';
}

static void call_begin(struct weir_self *self, const char *callback, struct series_group *group, int64_t now_ns,
                       int64_t deadline_ns)
{
    pthread_mutex_lock(&self->call_lock);
    self->callback = callback;
    call_limit(self, group, now_ns, deadline_ns);
    pthread_mutex_unlock(&self->call_lock);
    instance_calling = self;
}

/* What did not return in time and was named has come back. */
static void tell_return(struct weir_self *self, bool abandoned)
{
    log_line(self->seat->name, WEIR_NOTICE, "has returned after all%s", abandoned ? "; it was abandoned" : "");
    if (!abandoned)
        atomic_store_explicit(&self->seat->stuck, false, memory_order_relaxed);
}

/* False: the object was abandoned meanwhile, and what it shares is another's. */
static bool call_end(struct weir_self *self)
{
    bool stays, told;

    instance_calling = NULL;
    pthread_mutex_lock(&self->call_lock);
    while (self->frozen)
        pthread_cond_wait(&self->thawed, &self->call_lock);
    self->callback = NULL;
    stays = !self->abandoned;
    told = self->overdue_told;
    pthread_mutex_unlock(&self->call_lock);
    if (told)
        tell_return(self, !stays);
    return stays;
}

/* Under call_lock: makes the callback that runs return soon.  One that ignores it is not asked twice. */
static void call_interrupt(struct weir_self *self)
{
    const uint64_t one = 1;

    if (!self->callback || self->interrupted)
        return;
    self->interrupted = true;
    (void)!write(self->event_fd, &one, sizeof(one));
    if (self->plugin->interrupt && self->state)
        self->plugin->interrupt(self->state);
}

/* Under call_lock: so that the object is free for something else. */
static void call_off(struct weir_self *self)
{
    call_interrupt(self);
    self->called_off = self->interrupted;
}

int instance_enter(struct weir_self *self)
{
    if (instance_calling != self)
        return WEIR_EINVAL;
    pthread_mutex_lock(&self->call_lock);
    while (self->frozen)
        pthread_cond_wait(&self->thawed, &self->call_lock);
    if (!self->abandoned)
        return WEIR_OK;
    pthread_mutex_unlock(&self->call_lock);
    return WEIR_EINTR;
}

void instance_leave(struct weir_self *self)
{
    pthread_mutex_unlock(&self->call_lock);
}

const char *instance_reason(const struct weir_self *self, int status)
{
    if (self->reason[0])
        return self->reason;
    switch (status) {
    case WEIR_EFAIL: return "failed and gave no reason";
    case WEIR_ECONFIG: return "the configuration is wrong";
    case WEIR_EAGAIN: return "not possible now";
    case WEIR_ETIMEOUT: return "not done by its deadline";
    case WEIR_EINTR: return "interrupted";
    case WEIR_ENOMEM: return "no memory";
    case WEIR_ELIMIT: return "a limit is reached";
    case WEIR_ESTALE: return "a handle was released";
    case WEIR_EINVAL: return "broke the plugin contract";
    default: return "returned a status that does not exist";
    }
}

/* ---- One pass --------------------------------------------------------------------------------------------------- */

static uint64_t text_hash(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return hash;
}

/* True if another group of the instance fails for this reason, and that was told. */
static bool reason_told(const struct schedule *schedule, uint64_t reason)
{
    const struct schedule_entry *entry = schedule->told;

    while (entry && entry->reason != reason)
        entry = entry->next_told;
    return entry != NULL;
}

/* One line per change of state.  Whoever returns EAGAIN or EINTR passes on what a provider has told already. */
static void tell_failure(struct weir_self *self, struct schedule_entry *entry, int status, int64_t now_ns)
{
    const char *reason = instance_reason(self, status);
    uint64_t hash = text_hash(reason);
    bool quiet = status == WEIR_EAGAIN || status == WEIR_EINTR;
    bool news = !entry->failing || !entry->told || (entry->reason != hash && now_ns - entry->told_ns >= RETOLD_NS);

    seat_failed(self->seat, "group \"%s\": %s", entry->group->name, reason);
    if (!entry->failing)
        entry->failing_since_ns = now_ns;
    if (!quiet && news) {
        if (!reason_told(&self->schedule, hash)) {
            log_line(self->seat->name, WEIR_WARNING, "collect of group \"%s\": %s", entry->group->name, reason);
            schedule_tell(&self->schedule, entry, true);
            entry->told_ns = now_ns;
        }
        entry->reason = hash;
    }
    entry->failing = true;
}

static void tell_success(struct weir_self *self, struct schedule_entry *entry, int64_t now_ns)
{
    if (entry->failing && entry->told)
        log_line(self->seat->name, WEIR_NOTICE, "collect of group \"%s\" works again after %.1f s", entry->group->name,
                 (double)(now_ns - entry->failing_since_ns) / 1e9);
    entry->failing = false;
    schedule_tell(&self->schedule, entry, false);
}

/* Groups that were ended inside a callback are closed outside of any pass; what has no room now, after a later one. */
static void end_groups(struct weir_self *self)
{
    struct seat *seat = self->seat;

    if (!self->groups_ending)
        return;
    self->groups_ending = false;
    for (struct series_group *group = atomic_load(&seat->groups.first); group; group = atomic_load(&group->sibling))
        if (!(atomic_load(&group->holders) & self->bit))
            self->groups_ending |= !pass_end_group(&seat->pass, group, clock_wall_ns());
}

/* A task waits: what fails now fails because of it. */
static bool leaving(const struct weir_self *self)
{
    return atomic_load_explicit(&self->task, memory_order_acquire) != INSTANCE_IDLE;
}

static void wake_sinks(struct weir_self *self)
{
    if (self->news_ns)
        ring_lane_wake(&self->seat->pass.lane);
    self->news_ns = 0;
    self->news = 0;
}

int64_t instance_news_until(const struct weir_self *self)
{
    return self->news_ns ? self->news_ns + WAITING_NS : INT64_MAX;
}

void instance_tell_news(struct weir_self *self)
{
    if (instance_enter(self) < 0)
        return;
    wake_sinks(self);
    instance_leave(self);
}

/* `weir once`, the only collecting that is a task, makes the first turns alone. */
static int64_t due_until(const struct weir_self *self, int64_t now_ns)
{
    return self->mode == INSTANCE_IDLE ? SCHEDULE_NEVER : now_ns;
}

/* Begins a turn: the group's pass is open. */
static struct weir_pass group_open(struct weir_self *self, struct schedule_entry *entry, int64_t now_ns)
{
    struct series_group *group = entry->group;
    struct pass *pass = &self->seat->pass;

    schedule_began(&self->schedule, entry, now_ns);
    pass_begin(pass, group, clock_wall_ns());
    return (struct weir_pass){.size = sizeof(struct weir_pass), .group = group->id, .context = entry->context,
                              .deadline_ns = now_ns + entry->timeout_ns, .time_ns = pass->time_ns, .number = group->number + 1};
}

/* Ends it with the status of its collect. */
static void group_close(struct weir_self *self, int status)
{
    struct series_group *group = self->call_group;
    enum weir_pass_status committed, asked = WEIR_PASS_FAILED;
    struct schedule_entry *entry;
    const struct ring_writer *writer = &self->seat->pass.lane.writer;
    const uint64_t before = writer->tail;
    int64_t end_ns;
    uint64_t took_ns;

    if (status == WEIR_OK)
        asked = WEIR_PASS_OK;
    else if (status == WEIR_KEEP || (status < 0 && self->mode != INSTANCE_IDLE && leaving(self)))
        asked = WEIR_PASS_KEPT; /* the end of the collector, or of the object, marks nothing */
    committed = pass_commit(&self->seat->pass, asked);

    end_ns = clock_now_ns();
    took_ns = (uint64_t)(end_ns - self->call_since_ns);
    atomic_fetch_add_explicit(&group->collect_ns_sum, took_ns, memory_order_relaxed);
    atomic_store_explicit(&group->collect_ns_last, took_ns, memory_order_relaxed);
    if (end_ns > self->call_deadline_ns)
        atomic_fetch_add_explicit(&group->overruns, 1, memory_order_relaxed);
    /* collect may have ended the group, and begun it again. */
    entry = schedule_find(&self->schedule, group->id);
    if (entry && !entry->heap) {
        schedule_ended(&self->schedule, entry, end_ns, status < 0 ? WEIR_PASS_FAILED : committed);
        if (asked == WEIR_PASS_OK && committed != WEIR_PASS_OK) {
            snprintf(self->reason, sizeof(self->reason), "the pass is larger than a lane may hold: raise lane_max");
            status = WEIR_ELIMIT;
        }
        if (committed == WEIR_PASS_FAILED)
            tell_failure(self, entry, status, end_ns);
        else if (committed == WEIR_PASS_OK)
            tell_success(self, entry, end_ns);
    }
    self->failed += committed != WEIR_PASS_OK;
    end_groups(self);
    if (!self->news_ns)
        self->news_ns = end_ns;
    self->news += writer->tail - before;
    /* A large pass is read while the next one is waited for, and its memory is free again for that. */
    if (self->news >= NEWS_MAX)
        wake_sinks(self);
}

/* One collect. */
static void run_group(struct weir_self *self, struct schedule_entry *entry)
{
    int64_t now_ns = clock_now_ns();
    struct weir_pass pass = group_open(self, entry, now_ns);
    struct series_group *group;
    int status;

    call_begin(self, "collect", entry->group, now_ns, pass.deadline_ns);
    status = self->plugin->collect(self->state, &pass);
    if (!call_end(self))
        return;
    group = self->call_group;
    group_close(self, status);
    /* Short groups that are due together wake the sinks once. */
    now_ns = clock_now_ns();
    entry = schedule_due(&self->schedule, due_until(self, now_ns));
    if (now_ns - self->call_since_ns >= TOGETHER_NS || !entry || entry->group == group)
        wake_sinks(self);
}

int instance_due(struct weir_self *self, uint32_t *groups, size_t room)
{
    return (int)schedule_list(&self->schedule, due_until(self, clock_now_ns()), groups, room);
}

int instance_next_pass(struct weir_self *self, int status, uint32_t group, struct weir_pass *pass)
{
    struct schedule_entry *entry;
    int64_t now_ns = clock_now_ns();

    if (self->called_off || (self->mode != INSTANCE_IDLE && leaving(self)))
        return WEIR_EINTR;
    entry = schedule_find(&self->schedule, group);
    if (!entry || !schedule_is_due(&self->schedule, entry, due_until(self, now_ns)))
        return WEIR_EAGAIN;
    if (self->overdue_told)
        tell_return(self, false);
    group_close(self, status);
    now_ns = clock_now_ns();
    *pass = group_open(self, entry, now_ns);
    call_limit(self, entry->group, now_ns, pass->deadline_ns);
    return WEIR_OK;
}

/* ---- One sink's turn -------------------------------------------------------------------------------------------- */

static bool consume_batch(void *context, const struct weir_batch *batch)
{
    struct weir_self *self = context;
    int64_t now_ns = clock_now_ns();
    int status;

    call_begin(self, "consume", NULL, now_ns, now_ns + self->section.timeout_ns);
    status = self->plugin->consume(self->state, batch);
    if (!call_end(self))
        return false;
    if (status < 0) {
        atomic_fetch_add_explicit(&self->seat->consume_failures, 1, memory_order_relaxed);
        seat_failed(self->seat, "consume: %s", instance_reason(self, status));
        if (!self->consume_failing)
            log_line(self->seat->name, WEIR_WARNING, "consume: %s", instance_reason(self, status));
    } else if (self->consume_failing) {
        log_line(self->seat->name, WEIR_NOTICE, "consume works again");
    }
    self->consume_failing = status < 0;
    return true;
}

static bool feed(struct weir_self *self)
{
    return feeds_run(&self->seat->feeds, self->seat->registry, self->batch, consume_batch, self);
}

/* False: abandoned. */
static bool flush(struct weir_self *self)
{
    int64_t now_ns = clock_now_ns();
    int status;

    self->flush_due_ns = now_ns + self->section.interval_ns;
    if (!self->plugin->flush)
        return true;
    call_begin(self, "flush", NULL, now_ns, now_ns + FLUSH_NS);
    status = self->plugin->flush(self->state, now_ns + FLUSH_NS);
    if (!call_end(self))
        return false;
    if (status < 0)
        log_line(self->seat->name, WEIR_WARNING, "flush: %s", instance_reason(self, status));
    return true;
}

/* ---- Running ---------------------------------------------------------------------------------------------------- */

/* Below, `abandoned` is read without the lock: between callbacks nobody writes it. */
static bool is_sink(const struct weir_self *self)
{
    return self->plugin->roles & WEIR_SINK;
}

/* One turn of everything; false if there was nothing to do. */
static bool run_once(struct weir_self *self, bool *flush_wanted)
{
    struct schedule_entry *entry;
    bool any = false;

    if (is_sink(self)) {
        any = feed(self);
        *flush_wanted |= any;
        if (!any && !self->abandoned && (*flush_wanted || clock_now_ns() >= self->flush_due_ns)) {
            *flush_wanted = false;
            (void)flush(self);
        }
    }
    if (!self->abandoned && self->mode == INSTANCE_RUN && !leaving(self) &&
        (entry = schedule_due(&self->schedule, due_until(self, clock_now_ns()))) != NULL) {
        run_group(self, entry);
        any = true;
    }
    return any;
}

/* A lane that nothing comes into for a while gives its memory back, if it has some to give and all sinks have read it.  *idle_ns: since
 * when, 0 for not yet.  Returns until when to sleep. */
static int64_t rest_lane(struct weir_self *self, int64_t *idle_ns, int64_t until_ns)
{
    struct ring_lane *lane = &self->seat->pass.lane;
    const int64_t now_ns = clock_now_ns();

    /* In no other mode is the lane this object's. */
    if (self->mode != INSTANCE_RUN || !(self->plugin->roles & WEIR_SOURCE) || !ring_lane_releasable(lane))
        return until_ns;
    if (!*idle_ns)
        *idle_ns = now_ns;
    if (now_ns >= *idle_ns + LANE_IDLE_NS) {
        if (ring_lane_release(lane))
            return until_ns;
        *idle_ns = now_ns;
    }
    return *idle_ns + LANE_IDLE_NS < until_ns ? *idle_ns + LANE_IDLE_NS : until_ns;
}

/* Until a task is given, or the object was abandoned. */
static void run(struct weir_self *self)
{
    struct ring_wake *wake = &self->seat->wake;
    int64_t idle_ns = 0;
    bool flush_wanted = false;

    while (!self->abandoned) {
        uint32_t ticket = ring_wake_prepare(wake);
        int64_t until_ns;

        if (leaving(self)) {
            ring_wake_cancel(wake);
            wake_sinks(self);
            return;
        }
        if (run_once(self, &flush_wanted) && !self->abandoned) {
            ring_wake_cancel(wake);
            idle_ns = 0;
            continue;
        }
        until_ns = self->mode == INSTANCE_RUN ? schedule_next_ns(&self->schedule) : INT64_MAX;
        if (is_sink(self) && self->flush_due_ns < until_ns)
            until_ns = self->flush_due_ns;
        if (!self->abandoned)
            ring_wake_sleep(wake, ticket, rest_lane(self, &idle_ns, until_ns));
    }
}

/* A sink catches up before anything else is done with it, so that it is never left in the middle of a pass. */
static void drain(struct weir_self *self)
{
    int64_t until_ns = clock_now_ns() + DRAIN_NS;

    while (!self->abandoned && feed(self) && clock_now_ns() < until_ns)
        continue;
}

/* ---- Tasks ------------------------------------------------------------------------------------------------------ */

/* A callback that takes the state alone. */
static int call_state(struct weir_self *self, const char *name, int (*callback)(void *state))
{
    int64_t now_ns = clock_now_ns();
    int status;

    if (!callback)
        return WEIR_OK;
    call_begin(self, name, NULL, now_ns, now_ns + INSTANCE_START_NS);
    status = callback(self->state);
    return call_end(self) ? status : WEIR_EINTR;
}

static int create(struct weir_self *self)
{
    int64_t now_ns = clock_now_ns();
    int status;

    call_begin(self, "create", NULL, now_ns, now_ns + INSTANCE_START_NS);
    status = self->plugin->create(self, self->section.values, &self->state);
    return call_end(self) ? status : WEIR_EINTR;
}

static int once(struct weir_self *self)
{
    struct schedule_entry *entry;

    self->failed = 0;
    while (!self->abandoned && (entry = schedule_due(&self->schedule, due_until(self, 0))) != NULL)
        run_group(self, entry);
    return (int)self->failed;
}

static int reconfigure(struct weir_self *self)
{
    const struct config_section *next = self->next_section;
    bool took = config_compare(&self->section, next) == CONFIG_RELOADABLE;
    int64_t now_ns = clock_now_ns();
    int status = WEIR_OK;

    if (took) {
        if (!self->plugin->reconfigure)
            return WEIR_RESTART;
        call_begin(self, "reconfigure", NULL, now_ns, now_ns + INSTANCE_START_NS);
        status = self->plugin->reconfigure(self->state, next->values);
        if (!call_end(self))
            return WEIR_EINTR;
    }
    if (status < 0 || status == WEIR_RESTART)
        return status;
    if (took)
        self->section = *next;
    self->section.interval_ns = next->interval_ns;
    self->section.timeout_ns = next->timeout_ns;
    self->section.max_series = next->max_series;
    self->limit_told = false;
    schedule_retime(&self->schedule, next->interval_ns, next->timeout_ns, clock_now_ns(), clock_wall_ns());
    if (self->flush_due_ns > now_ns + next->interval_ns)
        self->flush_due_ns = now_ns + next->interval_ns;
    return WEIR_OK;
}

static int rebind(struct weir_self *self)
{
    int64_t now_ns = clock_now_ns();
    int status;

    if (!self->plugin->provider_changed)
        return WEIR_OK;
    call_begin(self, "provider_changed", NULL, now_ns, now_ns + INSTANCE_START_NS);
    status = self->plugin->provider_changed(self->state, self->changed);
    return call_end(self) ? status : WEIR_EINTR;
}

static int stop(struct weir_self *self)
{
    if (is_sink(self) && !flush(self))
        return WEIR_EINTR;
    return call_state(self, "stop", self->plugin->stop);
}

static void destroy(struct weir_self *self)
{
    int64_t now_ns = clock_now_ns();

    if (!self->plugin->destroy || !self->state)
        return;
    call_begin(self, "destroy", NULL, now_ns, now_ns + INSTANCE_START_NS);
    self->plugin->destroy(self->state);
    if (call_end(self))
        self->state = NULL;
}

static int task_do(struct weir_self *self, int task)
{
    if (self->mode != INSTANCE_IDLE && is_sink(self))
        drain(self);
    if (self->abandoned)
        return WEIR_EINTR;
    switch (task) {
    case INSTANCE_CREATE: return create(self);
    case INSTANCE_START: return call_state(self, "start", self->plugin->start);
    case INSTANCE_ONCE: return once(self);
    case INSTANCE_RECONFIGURE: return reconfigure(self);
    case INSTANCE_REBIND: return rebind(self);
    case INSTANCE_STOP: self->mode = INSTANCE_IDLE; return stop(self);
    case INSTANCE_DESTROY: destroy(self); return WEIR_OK;
    case INSTANCE_PAUSE: self->mode = INSTANCE_IDLE; return WEIR_OK;
    default: self->mode = task; return WEIR_OK;
    }
}

static int task_take(struct weir_self *self)
{
    int task;

    if (self->mode != INSTANCE_IDLE)
        run(self);
    if (self->abandoned)
        return INSTANCE_IDLE;
    pthread_mutex_lock(&self->task_lock);
    while ((task = atomic_load_explicit(&self->task, memory_order_relaxed)) == INSTANCE_IDLE)
        pthread_cond_wait(&self->task_changed, &self->task_lock);
    pthread_mutex_unlock(&self->task_lock);
    return task;
}

static void *thread_main(void *context)
{
    struct weir_self *self = context;
    int task;

    (void)fatal_thread_begin(self->seat->name);
    do {
        int status;

        task = task_take(self);
        status = self->abandoned ? WEIR_EINTR : task_do(self, task);
        if (self->abandoned)
            break;
        pthread_mutex_lock(&self->task_lock);
        atomic_store_explicit(&self->task, INSTANCE_IDLE, memory_order_relaxed);
        self->status = status;
        self->done = true;
        pthread_cond_broadcast(&self->task_changed);
        pthread_mutex_unlock(&self->task_lock);
    } while (task != INSTANCE_DESTROY);
    if (self->abandoned) {
        if (task != INSTANCE_DESTROY) /* else it is what it comes back from */
            destroy(self);
        atomic_store_explicit(&self->finished, true, memory_order_release);
    }
    fatal_thread_end();
    return NULL;
}

/* ---- The main thread's side --------------------------------------------------------------------------------------- */

struct weir_self *instance_new(struct instances *all, struct seat *seat, const struct config_section *section, uint32_t bit)
{
    struct weir_self *self = calloc(1, sizeof(*self));
    pthread_condattr_t monotonic;

    if (!self)
        return NULL;
    self->all = all;
    self->seat = seat;
    self->section = *section;
    self->plugin = section->plugin;
    self->bit = bit;
    self->done = true;
    atomic_store_explicit(&self->draft, true, memory_order_relaxed);
    pthread_mutex_init(&self->task_lock, NULL);
    pthread_mutex_init(&self->call_lock, NULL);
    pthread_cond_init(&self->thawed, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&self->task_changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    self->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (is_sink(self))
        self->batch = malloc(FEED_BATCH * sizeof(*self->batch));
    if (self->event_fd >= 0 && (self->batch || !is_sink(self)))
        return self;
    instance_free(self);
    return NULL;
}

void instance_free(struct weir_self *self)
{
    if (!self)
        return;
    schedule_free(&self->schedule);
    free(self->batch);
    if (self->event_fd >= 0)
        close(self->event_fd);
    pthread_cond_destroy(&self->task_changed);
    pthread_cond_destroy(&self->thawed);
    pthread_mutex_destroy(&self->task_lock);
    pthread_mutex_destroy(&self->call_lock);
    free(self);
}

int instance_thread(struct weir_self *self)
{
    pthread_attr_t attributes;
    int error;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    error = pthread_create(&self->thread, &attributes, thread_main, self);
    pthread_attr_destroy(&attributes);
    if (error) {
        log_line(self->seat->name, WEIR_ERROR, "could not start its thread: %s", strerror(error));
        return WEIR_EFAIL;
    }
    self->has_thread = true;
    return WEIR_OK;
}

int instance_check(struct weir_self *self)
{
    int64_t now_ns = clock_now_ns();
    int status;

    if (!self->plugin->check)
        return WEIR_OK;
    call_begin(self, "check", NULL, now_ns, now_ns + INSTANCE_START_NS);
    status = self->plugin->check(self, self->section.values);
    (void)call_end(self);
    return status;
}

void instance_give(struct weir_self *self, enum instance_task task)
{
    pthread_mutex_lock(&self->task_lock);
    self->done = false;
    atomic_store_explicit(&self->task, (int)task, memory_order_release);
    pthread_cond_broadcast(&self->task_changed);
    pthread_mutex_unlock(&self->task_lock);
    ring_wake_up(&self->seat->wake);
}

bool instance_freeze(struct weir_self *self)
{
    bool inside;

    pthread_mutex_lock(&self->call_lock);
    inside = self->callback != NULL;
    self->frozen = inside;
    pthread_mutex_unlock(&self->call_lock);
    return inside;
}

bool instance_is_frozen(struct weir_self *self)
{
    bool frozen;

    pthread_mutex_lock(&self->call_lock);
    frozen = self->frozen;
    pthread_mutex_unlock(&self->call_lock);
    return frozen;
}

void instance_thaw(struct weir_self *self)
{
    pthread_mutex_lock(&self->call_lock);
    self->frozen = false;
    pthread_cond_broadcast(&self->thawed);
    pthread_mutex_unlock(&self->call_lock);
}

void instance_abandon(struct weir_self *self)
{
    pthread_mutex_lock(&self->call_lock);
    self->abandoned = true;
    self->frozen = false;
    pthread_cond_broadcast(&self->thawed);
    pthread_mutex_unlock(&self->call_lock);
    log_line(self->seat->name, WEIR_ERROR, "%s%s%s%s has not returned and is abandoned", self->callback,
             self->call_group ? " of group \"" : "", self->call_group ? self->call_group->name : "", self->call_group ? "\"" : "");
    atomic_fetch_add_explicit(&self->seat->abandoned, 1, memory_order_relaxed);
    self->started = false;
    self->has_thread = false;
}

void instance_interrupt(struct weir_self *self)
{
    pthread_mutex_lock(&self->call_lock);
    call_off(self);
    pthread_mutex_unlock(&self->call_lock);
}

bool instance_done(struct weir_self *self, int64_t until_ns, int *status)
{
    const struct timespec until = {.tv_sec = until_ns / CLOCK_SECOND_NS, .tv_nsec = until_ns % CLOCK_SECOND_NS};
    bool done;

    pthread_mutex_lock(&self->task_lock);
    while (!self->done && pthread_cond_timedwait(&self->task_changed, &self->task_lock, &until) == 0)
        continue;
    done = self->done;
    *status = self->status;
    pthread_mutex_unlock(&self->task_lock);
    return done;
}

void instance_join(struct weir_self *self)
{
    pthread_join(self->thread, NULL);
    self->has_thread = false;
}

void instance_supervise(struct weir_self *self, int64_t now_ns, int64_t *next_ns)
{
    int64_t limit_ns;

    pthread_mutex_lock(&self->call_lock);
    if (self->callback && now_ns < self->call_deadline_ns && self->call_deadline_ns < *next_ns)
        *next_ns = self->call_deadline_ns;
    /* What begins behind this look has about as long as what ran last: the next look comes before its deadline, or soon after. */
    limit_ns = self->call_deadline_ns - self->call_since_ns;
    if (limit_ns > 0 && limit_ns < SUPERVISE_MIN_NS)
        limit_ns = SUPERVISE_MIN_NS;
    if (limit_ns > 0 && now_ns + limit_ns < *next_ns)
        *next_ns = now_ns + limit_ns;
    if (self->callback && now_ns >= self->call_deadline_ns) {
        call_interrupt(self);
        if (!self->overdue_told && now_ns >= self->call_deadline_ns + INSTANCE_STUCK_NS) {
            self->overdue_told = true;
            atomic_store_explicit(&self->seat->stuck, true, memory_order_relaxed);
            log_line(self->seat->name, WEIR_ERROR,
                     "%s%s%s%s has not returned %.0f s after its deadline and ignores interruption; the other instances go on",
                     self->callback, self->call_group ? " of group \"" : "", self->call_group ? self->call_group->name : "",
                     self->call_group ? "\"" : "", (double)(now_ns - self->call_deadline_ns) / 1e9);
        }
    }
    pthread_mutex_unlock(&self->call_lock);
}

void instance_interrupt_collect(struct weir_self *self)
{
    pthread_mutex_lock(&self->call_lock);
    if (self->call_group)
        call_off(self);
    pthread_mutex_unlock(&self->call_lock);
}
