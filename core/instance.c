/* instance.c - the life of instances; instance.h says in which order.
 *
 * Read from the bottom for the life of all, from thread_main for the life of one, from run_group for one pass.
 */
#include "instance.h"

#include "fatal.h"
#include "host.h"
#include "log.h"
#include "selfstat.h"
#include "util/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define START_NS (30 * CLOCK_SECOND_NS)      /* for create, and for start */
#define FLUSH_NS (10 * CLOCK_SECOND_NS)
#define SUPERVISE_NS (CLOCK_SECOND_NS / 5)
#define STUCK_NS (5 * CLOCK_SECOND_NS)       /* beyond the deadline: named in log and metrics */
#define RETOLD_NS (60 * CLOCK_SECOND_NS)     /* another reason of the same failure is told this often */
#define LANE_FIRST 1024u                     /* samples; grows with the passes */
#define STACK_BYTES (512u * 1024u)

_Thread_local const struct weir_self *instance_calling;

/* ---- One callback ----------------------------------------------------------------------------------------------- */

static void call_begin(struct weir_self *self, const char *callback, const struct series_group *group, int64_t now_ns,
                       int64_t deadline_ns)
{
    uint64_t drained;

    pthread_mutex_lock(&self->call_lock);
    self->callback = callback;
    self->call_group = group;
    self->call_since_ns = now_ns;
    self->call_deadline_ns = deadline_ns;
    self->overdue_told = false;
    if (self->interrupted) {
        self->interrupted = false;
        (void)!read(self->event_fd, &drained, sizeof(drained));
    }
    pthread_mutex_unlock(&self->call_lock);
    self->reason[0] = '\0';
    instance_calling = self;
}

static void call_end(struct weir_self *self)
{
    instance_calling = NULL;
    pthread_mutex_lock(&self->call_lock);
    self->callback = NULL;
    pthread_mutex_unlock(&self->call_lock);
    if (atomic_exchange_explicit(&self->stuck, false, memory_order_relaxed))
        log_line(self->name, WEIR_NOTICE, "has returned after all");
}

/* Any thread: makes the callback that runs return soon. */
static void call_interrupt(struct weir_self *self)
{
    const uint64_t one = 1;

    /* Under call_lock.  A callback that ignores it is not asked twice. */
    if (!self->callback || self->interrupted)
        return;
    self->interrupted = true;
    (void)!write(self->event_fd, &one, sizeof(one));
    if (self->plugin->interrupt && self->state)
        self->plugin->interrupt(self->state);
}

static const char *reason_of(const struct weir_self *self, int status)
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
    for (size_t i = 0; i < schedule->count; i++)
        if (schedule->entries[i].failing && schedule->entries[i].told && schedule->entries[i].reason == reason)
            return true;
    return false;
}

/* One line per change of state.  Whoever returns EAGAIN or EINTR passes on what a provider has told already. */
static void tell_failure(struct weir_self *self, struct schedule_entry *entry, int status, int64_t now_ns)
{
    const char *reason = reason_of(self, status);
    uint64_t hash = text_hash(reason);
    bool quiet = status == WEIR_EAGAIN || status == WEIR_EINTR;
    bool news = !entry->failing || !entry->told || (entry->reason != hash && now_ns - entry->told_ns >= RETOLD_NS);

    if (!entry->failing)
        entry->failing_since_ns = now_ns;
    if (!quiet && news) {
        if (!reason_told(&self->schedule, hash)) {
            log_line(self->name, WEIR_WARNING, "collect of group \"%s\": %s", entry->group->name, reason);
            entry->told = true;
            entry->told_ns = now_ns;
        }
        entry->reason = hash;
    }
    entry->failing = true;
}

static void tell_success(struct weir_self *self, struct schedule_entry *entry, int64_t now_ns)
{
    if (entry->failing && entry->told)
        log_line(self->name, WEIR_NOTICE, "collect of group \"%s\" works again after %.1f s", entry->group->name,
                 (double)(now_ns - entry->failing_since_ns) / 1e9);
    entry->failing = false;
    entry->told = false;
}

/* Groups that were ended inside a callback are closed outside of any pass. */
static void end_groups(struct weir_self *self)
{
    if (!self->groups_ending)
        return;
    self->groups_ending = false;
    for (struct series_group *group = atomic_load(&self->groups); group; group = atomic_load(&group->sibling))
        if (atomic_load(&group->ended) && atomic_load(&group->series))
            pass_end_group(&self->pass, group, clock_wall_ns());
}

static bool stopping(const struct weir_self *self)
{
    return atomic_load_explicit(&self->wanted, memory_order_acquire) > INSTANCE_RUNNING;
}

static void run_group(struct weir_self *self, struct schedule_entry *entry)
{
    struct series_group *group = entry->group;
    int64_t begin_ns = clock_now_ns(), end_ns;
    struct weir_pass pass = {.size = sizeof(pass), .group = group->id, .context = group->context,
                             .deadline_ns = begin_ns + entry->timeout_ns, .number = group->number + 1};
    enum weir_pass_status committed, asked = WEIR_PASS_FAILED;
    uint64_t took_ns;
    int status;

    schedule_began(entry, begin_ns);
    pass_begin(&self->pass, group, clock_wall_ns());
    pass.time_ns = self->pass.time_ns;
    call_begin(self, "collect", group, begin_ns, pass.deadline_ns);
    status = self->plugin->collect(self->state, &pass);
    call_end(self);
    if (status == WEIR_OK)
        asked = WEIR_PASS_OK;
    else if (status == WEIR_KEEP || (status < 0 && stopping(self))) /* the end of the collector marks nothing */
        asked = WEIR_PASS_KEPT;
    committed = pass_commit(&self->pass, asked);

    end_ns = clock_now_ns();
    took_ns = (uint64_t)(end_ns - begin_ns);
    atomic_fetch_add_explicit(&group->collect_ns_sum, took_ns, memory_order_relaxed);
    atomic_store_explicit(&group->collect_ns_last, took_ns, memory_order_relaxed);
    if (end_ns > pass.deadline_ns)
        atomic_fetch_add_explicit(&group->overruns, 1, memory_order_relaxed);
    /* collect may have added groups or ended this one: find the entry again. */
    for (size_t i = 0; i < self->schedule.count; i++) {
        entry = &self->schedule.entries[i];
        if (entry->group != group)
            continue;
        schedule_ended(entry, end_ns);
        if (asked == WEIR_PASS_OK && committed != WEIR_PASS_OK) {
            snprintf(self->reason, sizeof(self->reason),
                     "the pass is larger than a lane may hold: raise lane_max, now %llu bytes",
                     (unsigned long long)self->all->config->lane_max_bytes);
            status = WEIR_ELIMIT;
        }
        if (committed == WEIR_PASS_FAILED)
            tell_failure(self, entry, status, end_ns);
        else if (committed == WEIR_PASS_OK)
            tell_success(self, entry, end_ns);
        break;
    }
    end_groups(self);
}

/* ---- One sink's turn -------------------------------------------------------------------------------------------- */

static void consume_batch(void *context, const struct weir_batch *batch)
{
    struct weir_self *self = context;
    int64_t now_ns = clock_now_ns();
    int status;

    call_begin(self, "consume", NULL, now_ns, now_ns + self->section->timeout_ns);
    status = self->plugin->consume(self->state, batch);
    call_end(self);
    if (status < 0) {
        atomic_fetch_add_explicit(&self->consume_failures, 1, memory_order_relaxed);
        if (!self->consume_failing)
            log_line(self->name, WEIR_WARNING, "consume: %s", reason_of(self, status));
    } else if (self->consume_failing) {
        log_line(self->name, WEIR_NOTICE, "consume works again");
    }
    self->consume_failing = status < 0;
}

static void flush(struct weir_self *self)
{
    int64_t now_ns = clock_now_ns();
    int status;

    self->flush_due_ns = now_ns + self->section->interval_ns;
    if (!self->plugin->flush)
        return;
    call_begin(self, "flush", NULL, now_ns, now_ns + FLUSH_NS);
    status = self->plugin->flush(self->state, now_ns + FLUSH_NS);
    call_end(self);
    if (status < 0)
        log_line(self->name, WEIR_WARNING, "flush: %s", reason_of(self, status));
}

/* ---- One thread ------------------------------------------------------------------------------------------------- */

static void phase_reached(struct weir_self *self, enum instance_phase phase, bool failed)
{
    pthread_mutex_lock(&self->phase_lock);
    self->phase = phase;
    self->failed |= failed;
    pthread_cond_broadcast(&self->phase_changed);
    pthread_mutex_unlock(&self->phase_lock);
}

/* Sleeps until another phase than `than` is wanted. */
static void phase_wait(struct weir_self *self, enum instance_phase than)
{
    while (atomic_load_explicit(&self->wanted, memory_order_acquire) <= (int)than) {
        uint32_t ticket = ring_wake_prepare(&self->wake);

        if (atomic_load_explicit(&self->wanted, memory_order_acquire) <= (int)than)
            ring_wake_sleep(&self->wake, ticket, INT64_MAX);
        else
            ring_wake_cancel(&self->wake);
    }
}

static bool create(struct weir_self *self)
{
    int64_t now_ns = clock_now_ns();
    int status;

    call_begin(self, "create", NULL, now_ns, now_ns + START_NS);
    status = self->plugin->create(self, self->section->values, &self->state);
    call_end(self);
    if (status < 0)
        log_line(self->name, WEIR_ERROR, "could not be created: %s", reason_of(self, status));
    return status >= 0;
}

static bool start(struct weir_self *self)
{
    int64_t now_ns = clock_now_ns();
    int status = WEIR_OK;

    if (self->plugin->start) {
        call_begin(self, "start", NULL, now_ns, now_ns + START_NS);
        status = self->plugin->start(self->state);
        call_end(self);
    }
    if (status < 0) {
        log_line(self->name, WEIR_ERROR, "could not start: %s", reason_of(self, status));
        return false;
    }
    for (size_t i = 0; i < self->nports; i++)
        service_open(&self->ports[i], self->plugin->services[i].table, self->state);
    return true;
}

/* One turn of everything; false if there was nothing to do. */
static bool run_once(struct weir_self *self, bool *flush_wanted)
{
    struct schedule_entry *entry;
    bool any = false;

    if (self->plugin->roles & WEIR_SINK) {
        any = feeds_run(&self->feeds, consume_batch, self);
        *flush_wanted |= any;
        if (!any && (*flush_wanted || clock_now_ns() >= self->flush_due_ns)) {
            *flush_wanted = false;
            flush(self);
        }
    }
    if (!stopping(self) && (entry = schedule_due(&self->schedule, clock_now_ns())) != NULL) {
        run_group(self, entry);
        any = true;
    }
    return any;
}

/* Runs until it is to be quiet; a quiet sink goes on until it is to stop and has caught up. */
static void run(struct weir_self *self)
{
    bool flush_wanted = false, told_quiet = false;

    for (;;) {
        uint32_t ticket = ring_wake_prepare(&self->wake);
        int wanted = atomic_load_explicit(&self->wanted, memory_order_acquire);
        int64_t until_ns;

        if (wanted >= INSTANCE_QUIET && !told_quiet) {
            told_quiet = true;
            phase_reached(self, INSTANCE_QUIET, false);
        }
        if (run_once(self, &flush_wanted)) {
            ring_wake_cancel(&self->wake);
            continue;
        }
        if (wanted >= INSTANCE_STOPPED) {
            ring_wake_cancel(&self->wake);
            return;
        }
        until_ns = wanted >= INSTANCE_QUIET ? INT64_MAX : schedule_next_ns(&self->schedule);
        if (self->plugin->roles & WEIR_SINK && self->flush_due_ns < until_ns)
            until_ns = self->flush_due_ns;
        ring_wake_sleep(&self->wake, ticket, until_ns);
    }
}

static void stop(struct weir_self *self)
{
    int64_t now_ns;
    int status;

    /* Those inside may be slow, but the state must outlive them: without a deadline of its own, the abandoning of this
     * thread is the limit. */
    for (size_t i = 0; i < self->nports; i++)
        while (service_close(&self->ports[i], clock_now_ns() + CLOCK_SECOND_NS) < 0)
            continue;
    if (!self->plugin->stop)
        return;
    now_ns = clock_now_ns();
    call_begin(self, "stop", NULL, now_ns, now_ns + START_NS);
    status = self->plugin->stop(self->state);
    call_end(self);
    if (status < 0)
        log_line(self->name, WEIR_WARNING, "stop: %s", reason_of(self, status));
}

static void destroy(struct weir_self *self)
{
    int64_t now_ns = clock_now_ns();

    if (!self->plugin->destroy || !self->state)
        return;
    call_begin(self, "destroy", NULL, now_ns, now_ns + START_NS);
    self->plugin->destroy(self->state);
    self->state = NULL;
    call_end(self);
}

static void *thread_main(void *context)
{
    struct weir_self *self = context;
    bool started = false, created;

    (void)fatal_thread_begin(self->name);
    created = create(self);
    phase_reached(self, INSTANCE_CREATED, !created);
    phase_wait(self, INSTANCE_CREATED);
    if (created && atomic_load_explicit(&self->wanted, memory_order_acquire) == INSTANCE_RUNNING) {
        started = start(self);
        phase_reached(self, INSTANCE_RUNNING, !started);
        if (started)
            run(self);
    }
    phase_wait(self, INSTANCE_QUIET);
    if (started)
        stop(self);
    phase_reached(self, INSTANCE_STOPPED, false);
    phase_wait(self, INSTANCE_STOPPED);
    destroy(self);
    phase_reached(self, INSTANCE_GONE, false);
    fatal_thread_end();
    return NULL;
}

/* ---- Ties between instances ------------------------------------------------------------------------------------- */

static const char *section_words(const struct config_section *section, char *buffer, size_t size)
{
    if (section->plugin->flags & WEIR_SINGLE)
        snprintf(buffer, size, "%s", section->plugin_name);
    else
        snprintf(buffer, size, "%s \"%s\"", section->plugin_name, section->title);
    return buffer;
}

/* The instance of this title that offers the service, or NULL. */
static struct weir_self *provider_find(struct instances *all, const struct weir_binding *binding,
                                       struct service_port **port)
{
    for (size_t i = 0; i < all->count; i++) {
        struct weir_self *self = &all->items[i];

        if (strcmp(self->section->title, binding->title) != 0)
            continue;
        for (size_t p = 0; p < self->nports; p++) {
            if (strcmp(self->ports[p].name, binding->service) == 0) {
                *port = &self->ports[p];
                return self;
            }
        }
    }
    return NULL;
}

static void tie(struct instances *all, struct weir_self *self, struct weir_binding *binding,
                struct config_mistakes *mistakes)
{
    struct service_port *port;
    char words[256];

    section_words(self->section, words, sizeof(words));
    if (!provider_find(all, binding, &port))
        config_mistake(mistakes, binding->file, binding->line,
                       "%s: %s: no enabled instance \"%s\" offers the service \"%s\"; add such a section, or name another",
                       words, binding->option, binding->title, binding->service);
    else if (port->version < binding->version)
        config_mistake(mistakes, binding->file, binding->line,
                       "%s: %s: \"%s\" offers version %u of the service \"%s\", version %u is needed; update that plugin",
                       words, binding->option, binding->title, port->version, binding->service, binding->version);
    else
        binding->port = port;
}

static bool provides_to(const struct weir_self *provider, const struct weir_self *user)
{
    for (size_t b = 0; b < user->section->nbindings; b++) {
        const struct service_port *port = user->section->bindings[b]->port;

        if (port >= provider->ports && port < provider->ports + provider->nports)
            return true;
    }
    return false;
}

/* Providers before users; among those that are ready, sinks before sources, then the order of the file. */
static void order(struct instances *all, struct config_mistakes *mistakes)
{
    bool *placed = calloc(all->count, sizeof(*placed));
    size_t n = 0;

    while (placed && n < all->count) {
        size_t best = all->count;

        for (size_t i = 0; i < all->count; i++) {
            const struct weir_self *self = &all->items[i];
            bool ready = !placed[i];

            for (size_t j = 0; ready && j < all->count; j++)
                ready = placed[j] || !provides_to(&all->items[j], self);
            if (ready && (best == all->count || (!(all->items[best].plugin->roles & WEIR_SINK) &&
                                                 self->plugin->roles & WEIR_SINK)))
                best = i;
        }
        if (best == all->count)
            break;
        placed[best] = true;
        all->order[n++] = best;
    }
    for (size_t i = 0; placed && n < all->count && i < all->count; i++) {
        const struct config_section *section = all->items[i].section;
        char words[256];

        if (!placed[i])
            config_mistake(mistakes, section->file, section->line,
                           "%s: uses a service of an instance that waits for this one; break the circle",
                           section_words(section, words, sizeof(words)));
    }
    free(placed);
}

static void check(struct weir_self *self, struct config_mistakes *mistakes)
{
    int64_t now_ns = clock_now_ns();
    char words[256];
    int status;

    /* A plugin is shown only what the schema has found good. */
    if (!self->plugin->check || !self->section->good)
        return;
    call_begin(self, "check", NULL, now_ns, now_ns + START_NS);
    status = self->plugin->check(self, self->section->values);
    call_end(self);
    if (status < 0)
        config_mistake(mistakes, self->section->file, self->section->line, "%s: %s",
                       section_words(self->section, words, sizeof(words)), reason_of(self, status));
}

/* ---- All of them ------------------------------------------------------------------------------------------------ */

static int instance_init(struct instances *all, struct weir_self *self, const struct config_section *section)
{
    size_t nports = 0;

    self->section = section;
    self->plugin = section->plugin;
    self->name = section->name;
    self->all = all;
    self->id = (uint32_t)(self - all->items) + 1;
    pthread_mutex_init(&self->phase_lock, NULL);
    pthread_mutex_init(&self->call_lock, NULL);
    pthread_cond_init(&self->phase_changed, NULL);
    self->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->event_fd < 0)
        return WEIR_ENOMEM;
    while (self->plugin->services && self->plugin->services[nports].name)
        nports++;
    self->ports = calloc(nports ? nports : 1, sizeof(*self->ports));
    if (!self->ports)
        return WEIR_ENOMEM;
    for (; self->nports < nports; self->nports++)
        service_port_init(&self->ports[self->nports], self->plugin->services[self->nports].name,
                          self->plugin->services[self->nports].version);
    return WEIR_OK;
}

static void instance_free(struct weir_self *self)
{
    for (size_t i = 0; i < self->nports; i++)
        service_port_destroy(&self->ports[i]);
    free(self->ports);
    feeds_close(&self->feeds);
    schedule_free(&self->schedule);
    if (self->event_fd > 0)
        close(self->event_fd);
    pthread_cond_destroy(&self->phase_changed);
    pthread_mutex_destroy(&self->phase_lock);
    pthread_mutex_destroy(&self->call_lock);
}

int instances_new(const struct config *config, struct config_mistakes *mistakes, struct instances **out)
{
    struct instances *all = calloc(1, sizeof(*all));
    size_t before = mistakes->count + mistakes->more;
    int status = WEIR_ENOMEM;

    if (!all)
        return WEIR_ENOMEM;
    all->config = config;
    all->registry = series_registry_new((uint32_t)(config->max_series < UINT32_MAX ? config->max_series : UINT32_MAX));
    /* One instance's cursors and counters are written by its own thread: keep neighbours apart. */
    all->items = aligned_alloc(alignof(struct weir_self), (config->nsections + 1) * sizeof(*all->items));
    all->order = calloc(config->nsections + 1, sizeof(*all->order));
    all->sources = calloc(config->nsections + 1, sizeof(*all->sources));
    if (!all->registry || !all->items || !all->order || !all->sources)
        goto fail;
    memset(all->items, 0, (config->nsections + 1) * sizeof(*all->items));
    all->self_section = selfstat_section(config);
    for (size_t i = 0; i <= config->nsections; i++) {
        const struct config_section *section = i < config->nsections ? &config->sections[i] : &all->self_section;

        if (section->enabled && instance_init(all, &all->items[all->count++], section) < 0)
            goto fail;
    }
    for (size_t i = 0; i < all->count; i++)
        for (size_t b = 0; b < all->items[i].section->nbindings; b++)
            tie(all, &all->items[i], all->items[i].section->bindings[b], mistakes);
    order(all, mistakes);
    for (size_t i = 0; i < all->count; i++)
        check(&all->items[i], mistakes);
    *out = all;
    if (mistakes->count + mistakes->more == before)
        return WEIR_OK;
    *out = NULL;
    status = WEIR_ECONFIG;
fail:
    instances_free(all);
    return status;
}

void instances_free(struct instances *all)
{
    if (!all)
        return;
    /* Cursors lie in lanes, groups in the registry: sinks go first, then lanes, then the registry. */
    for (size_t i = 0; i < all->count; i++)
        instance_free(&all->items[i]);
    for (size_t i = 0; i < all->nsources; i++)
        pass_destroy(&all->items[all->sources[i].id - 1].pass);
    series_registry_free(all->registry);
    free(all->items);
    free(all->order);
    free(all->sources);
    free(all);
}

static void want(struct weir_self *self, enum instance_phase phase)
{
    atomic_store_explicit(&self->wanted, (int)phase, memory_order_release);
    ring_wake_up(&self->wake);
}

static enum instance_phase phase_of(struct weir_self *self, bool *failed)
{
    enum instance_phase phase;

    pthread_mutex_lock(&self->phase_lock);
    phase = self->phase;
    *failed = self->failed;
    pthread_mutex_unlock(&self->phase_lock);
    return phase;
}

/* True once the instance has reached the phase, or failed on the way; false at the deadline. */
static bool await(struct weir_self *self, enum instance_phase phase, int64_t deadline_ns)
{
    bool reached;

    for (;;) {
        struct timespec until;

        (void)instances_supervise(self->all);
        pthread_mutex_lock(&self->phase_lock);
        reached = self->phase >= phase || (self->failed && phase <= INSTANCE_RUNNING);
        /* The condition waits on the wall clock, which may step: short waits. */
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 50 * 1000 * 1000;
        if (until.tv_nsec >= CLOCK_SECOND_NS) {
            until.tv_sec++;
            until.tv_nsec -= CLOCK_SECOND_NS;
        }
        if (!reached)
            pthread_cond_timedwait(&self->phase_changed, &self->phase_lock, &until);
        reached = self->phase >= phase || (self->failed && phase <= INSTANCE_RUNNING);
        pthread_mutex_unlock(&self->phase_lock);
        if (reached || clock_now_ns() >= deadline_ns)
            return reached;
    }
}

static int lanes_open(struct instances *all)
{
    uint64_t ceiling = all->config->lane_max_bytes / sizeof(struct weir_sample);

    for (size_t i = 0; i < all->count; i++) {
        struct weir_self *self = &all->items[i];

        if (!(self->plugin->roles & WEIR_SOURCE))
            continue;
        if (pass_init(&self->pass, all->registry, LANE_FIRST, ceiling) < 0)
            return WEIR_ENOMEM;
        all->sources[all->nsources++] = (struct feed_source){
            .id = self->id, .name = self->name, .lane = &self->pass.lane, .groups = &self->groups};
    }
    for (size_t i = 0; i < all->count; i++) {
        struct weir_self *self = &all->items[i];

        if (self->plugin->roles & WEIR_SINK &&
            feeds_open(&self->feeds, all->registry, all->sources, all->nsources, &self->wake) < 0)
            return WEIR_ENOMEM;
    }
    return WEIR_OK;
}

static bool thread_start(struct weir_self *self)
{
    pthread_attr_t attributes;
    int error;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    error = pthread_create(&self->thread, &attributes, thread_main, self);
    pthread_attr_destroy(&attributes);
    if (error) {
        log_line(self->name, WEIR_ERROR, "could not start its thread: %s", strerror(error));
        return false;
    }
    self->has_thread = true;
    return true;
}

int instances_start(struct instances *all)
{
    if (lanes_open(all) < 0) {
        log_line(NULL, WEIR_ERROR, "could not start: no memory for the lanes");
        return WEIR_ENOMEM;
    }
    for (enum instance_phase phase = INSTANCE_CREATED; phase <= INSTANCE_RUNNING; phase++) {
        for (size_t i = 0; i < all->count; i++) {
            struct weir_self *self = &all->items[all->order[i]];
            bool reached, failed;

            if (phase == INSTANCE_CREATED && !thread_start(self))
                goto fail;
            if (phase == INSTANCE_RUNNING)
                want(self, phase);
            reached = await(self, phase, clock_now_ns() + START_NS);
            if (!reached)
                log_line(self->name, WEIR_ERROR, "could not start within %d s", (int)(START_NS / CLOCK_SECOND_NS));
            (void)phase_of(self, &failed);
            if (!reached || failed)
                goto fail;
        }
    }
    return WEIR_OK;
fail:
    (void)instances_stop(all, clock_now_ns() + 4 * CLOCK_SECOND_NS);
    return WEIR_EFAIL;
}

int64_t instances_supervise(struct instances *all)
{
    int64_t now_ns = clock_now_ns(), next_ns = now_ns + SUPERVISE_NS;

    for (size_t i = 0; i < all->count; i++) {
        struct weir_self *self = &all->items[i];

        if (!self->has_thread)
            continue;
        pthread_mutex_lock(&self->call_lock);
        if (self->callback && now_ns < self->call_deadline_ns && self->call_deadline_ns < next_ns)
            next_ns = self->call_deadline_ns;
        if (self->callback && now_ns >= self->call_deadline_ns) {
            call_interrupt(self);
            if (!self->overdue_told && now_ns >= self->call_deadline_ns + STUCK_NS) {
                self->overdue_told = true;
                atomic_store_explicit(&self->stuck, true, memory_order_relaxed);
                log_line(self->name, WEIR_ERROR,
                         "%s%s%s%s has not returned %.0f s after its deadline and ignores interruption; "
                         "the other instances go on",
                         self->callback, self->call_group ? " of group \"" : "",
                         self->call_group ? self->call_group->name : "", self->call_group ? "\"" : "",
                         (double)(now_ns - self->call_deadline_ns) / 1e9);
            }
        }
        pthread_mutex_unlock(&self->call_lock);
    }
    return next_ns;
}

/* Interrupts the collects that run, so that stopping does not wait for a query. */
static void interrupt_collects(struct instances *all)
{
    for (size_t i = 0; i < all->count; i++) {
        struct weir_self *self = &all->items[i];

        if (!self->has_thread)
            continue;
        pthread_mutex_lock(&self->call_lock);
        if (self->callback && strcmp(self->callback, "collect") == 0)
            call_interrupt(self);
        pthread_mutex_unlock(&self->call_lock);
    }
}

static void abandon(struct weir_self *self)
{
    if (!self->abandoned)
        log_line(self->name, WEIR_ERROR, "did not stop in time and is abandoned");
    self->abandoned = true;
}

bool instances_stop(struct instances *all, int64_t deadline_ns)
{
    bool clean = true;

    for (size_t i = 0; i < all->count; i++)
        if (all->items[i].has_thread)
            want(&all->items[i], INSTANCE_QUIET);
    interrupt_collects(all);
    for (size_t i = 0; i < all->count; i++) {
        struct weir_self *self = &all->items[i];

        bool failed;

        /* Half of the time is the others': one that hangs must not cost the sinks their drain. */
        if (self->has_thread && phase_of(self, &failed) == INSTANCE_RUNNING && !failed &&
            !await(self, INSTANCE_QUIET, clock_now_ns() + (deadline_ns - clock_now_ns()) / 2))
            abandon(self);
    }
    for (enum instance_phase phase = INSTANCE_STOPPED; phase <= INSTANCE_GONE; phase++) {
        for (size_t i = all->count; i-- > 0;) {
            struct weir_self *self = &all->items[all->order[i]];

            if (!self->has_thread || self->abandoned)
                continue;
            want(self, phase);
            if (!await(self, phase, clock_now_ns() + (deadline_ns - clock_now_ns()) / 2))
                abandon(self);
        }
    }
    for (size_t i = 0; i < all->count; i++) {
        struct weir_self *self = &all->items[i];

        clean &= !self->abandoned;
        if (self->has_thread && !self->abandoned)
            pthread_join(self->thread, NULL);
    }
    return clean;
}
