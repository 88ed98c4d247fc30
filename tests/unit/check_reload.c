/* check_reload.c - reloads of a whole core with plugins of its own: what goes on, what is replaced, what is undone.
 *
 * Plugins in this program: `part` (a source that fails or hangs where its options say), `batch` (a source whose collect is each
 * test's own), `well` (a provider) with `user` (a source that is inside it most of the time), and `witness` (a sink that believes
 * nothing).
 */
#include "assertions.h"
#include "host.h"
#include "log.h"
#include "reload.h"
#include "util/clock.h"
#include "util/strbuf.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#undef fail /* Check's; the host has one of its own */

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define RANDOM_RELOADS 150u
#define RACING_RELOADS 100u
#define MANY_CPU_NS CLOCK_SECOND_NS
#else
#define RANDOM_RELOADS 1000u
#define RACING_RELOADS 500u
#define MANY_CPU_NS (CLOCK_SECOND_NS / 10)
#endif
#define TITLES 8u
#define ALIVE 0x600d600du

static const struct weir_host *const host = &host_table;

/* ---- part: a source ------------------------------------------------------------------------------------------------- */

static const char *const steps[] = {"none", "check", "create", "start", "reconfigure", "stop", "collect", NULL};
enum { NONE, CHECK, CREATE, START, RECONFIGURE, STOP, COLLECT };

struct part_config {
    int64_t level, fail, hang;
    const char *note;
    struct weir_list groups;
};
static const struct weir_option part_options[] = {
    {.name = "level", .type = WEIR_INT, .dflt = "0", .flags = WEIR_RELOADABLE, .offset = offsetof(struct part_config, level)},
    {.name = "note", .type = WEIR_STRING, .offset = offsetof(struct part_config, note)},
    {.name = "fail", .type = WEIR_ENUM, .dflt = "none", .choices = steps, .offset = offsetof(struct part_config, fail)},
    {.name = "hang", .type = WEIR_ENUM, .dflt = "none", .choices = steps, .offset = offsetof(struct part_config, hang)},
    {.name = "groups", .type = WEIR_LIST, .dflt = "{\"only\"}", .offset = offsetof(struct part_config, groups)},
    {.name = NULL}};
struct part {
    struct weir_self *self;
    const struct part_config *config;
    struct part_group {
        uint32_t group, series[2]; /* level, passes */
        uint64_t passes;
    } groups[4];
};
static _Atomic int parts, creations, reconfigurations;
static _Atomic bool released; /* lets those go that hang */

/* Ignores interruption, as a bad plugin does. */
static int step(const struct part_config *config, int64_t at)
{
    while (config->hang == at && !atomic_load(&released))
        usleep(1000);
    return config->fail == at ? WEIR_EFAIL : WEIR_OK;
}

static int part_check(struct weir_self *self, const void *config)
{
    (void)self;
    return step(config, CHECK) < 0 ? WEIR_ECONFIG : WEIR_OK;
}

static int part_create(struct weir_self *self, const void *given, void **state)
{
    static const struct weir_family families[] = {
        {.size = sizeof(struct weir_family), .kind = WEIR_GAUGE, .name = "level", .help = "h"},
        {.size = sizeof(struct weir_family), .kind = WEIR_COUNTER, .name = "passes", .help = "h"}};
    const struct part_config *config = given;
    const struct weir_label label = {"title", host->name(self)};
    struct part *part = calloc(1, sizeof(*part));
    uint32_t ids[2];
    int status;

    atomic_fetch_add(&parts, 1);
    atomic_fetch_add(&creations, 1);
    *state = part;
    part->self = self;
    part->config = config;
    for (size_t i = 0; i < 2; i++)
        if ((status = host->family(self, &families[i], &ids[i])) < 0)
            return status;
    for (size_t i = 0; i < config->groups.count; i++) {
        const struct weir_label labels[] = {label, {"group", config->groups.items[i]}};
        const struct weir_group group = {.size = sizeof(group), .name = config->groups.items[i], .context = &part->groups[i]};

        if ((status = host->group(self, &group, &part->groups[i].group)) < 0 ||
            (status = host->series(self, part->groups[i].group, labels, 2, ids, 2, part->groups[i].series)) < 0)
            return status;
    }
    return step(config, CREATE);
}

static int part_start(void *state)
{
    return step(((struct part *)state)->config, START);
}

static int part_reconfigure(void *state, const void *given)
{
    struct part *part = state;
    int status = step(given, RECONFIGURE);

    if (status == WEIR_OK) {
        part->config = given;
        atomic_fetch_add(&reconfigurations, 1);
        status = WEIR_KEEP; /* any success is one */
    }
    return status;
}

static int part_collect(void *state, const struct weir_pass *pass)
{
    struct part *part = state;
    struct part_group *group = pass->context;
    int status = step(part->config, COLLECT);
    const struct weir_value values[] = {{.series = group->series[0], .flags = WEIR_U64, .value.u64 = (uint64_t)part->config->level},
                                        {.series = group->series[1], .flags = WEIR_U64, .value.u64 = ++group->passes}};

    return status < 0 ? status : host->publish(part->self, values, 2);
}

static int part_stop(void *state)
{
    return step(((struct part *)state)->config, STOP);
}

static void part_destroy(void *state)
{
    atomic_fetch_sub(&parts, 1);
    free(state);
}

static const struct weir_plugin part_plugin = {
    .size = sizeof(struct weir_plugin), .roles = WEIR_SOURCE, .name = "part", .version = "1", .summary = "s", .options = part_options,
    .option_stride = sizeof(struct weir_option), .config_size = sizeof(struct part_config), .check = part_check, .create = part_create,
    .start = part_start, .reconfigure = part_reconfigure, .collect = part_collect, .stop = part_stop, .destroy = part_destroy};

/* ---- batch: a source that serves several groups in one collect ------------------------------------------------------- */

#define BATCH_GROUPS 6u
struct batch {
    struct weir_self *self;
    uint32_t family, groups[BATCH_GROUPS], series[BATCH_GROUPS]; /* of the names "a", "b", ... */
};
struct batch_config {
    const char *note;
};
static const struct weir_option batch_options[] = {
    {.name = "note", .type = WEIR_STRING, .offset = offsetof(struct batch_config, note)}, {.name = NULL}};
typedef int batch_serve(struct batch *batch, const struct weir_pass *pass);
static _Atomic(batch_serve *) batch_serve_as;
static struct weir_group batch_as[BATCH_GROUPS]; /* what groups are made with, but for name and context */
static _Atomic int batch_outside;                /* what next_pass says outside of collect */
static _Atomic unsigned batch_collects;

static int batch_group(struct batch *batch, unsigned i)
{
    const char name[] = {(char)('a' + i), '\0'};
    const struct weir_label labels[] = {{"group", name}, {"title", host->name(batch->self)}};
    struct weir_group group = batch_as[i];
    int status;

    group.size = sizeof(group);
    group.name = name;
    group.context = (void *)(uintptr_t)i;
    status = host->group(batch->self, &group, &batch->groups[i]);
    return status < 0 ? status : host->series(batch->self, batch->groups[i], labels, 2, &batch->family, 1, &batch->series[i]);
}

static int batch_create(struct weir_self *self, const void *config, void **state)
{
    const struct weir_family family = {.size = sizeof(family), .kind = WEIR_GAUGE, .name = "batch", .help = "h"};
    struct weir_pass pass = {.size = sizeof(pass)};
    struct batch *batch = calloc(1, sizeof(*batch));
    int status;

    (void)config;
    *state = batch;
    batch->self = self;
    status = host->family(self, &family, &batch->family);
    for (unsigned i = 0; i < BATCH_GROUPS - 1 && status >= 0; i++) /* one is for later */
        status = batch_group(batch, i);
    atomic_store(&batch_outside, host->next_pass(self, WEIR_OK, batch->groups[1], &pass));
    ck_assert_int_eq(host->due(self, &pass.group, 1), WEIR_EINVAL);
    return status;
}

static int batch_publish(struct batch *batch, const struct weir_pass *pass)
{
    const struct weir_value value = {.series = batch->series[(uintptr_t)pass->context], .flags = WEIR_U64, .value.u64 = pass->number};

    return host->publish(batch->self, &value, 1);
}

static int batch_collect(void *state, const struct weir_pass *pass)
{
    batch_serve *serve = atomic_load(&batch_serve_as);
    int status = serve(state, pass);

    atomic_fetch_add(&batch_collects, 1);
    return status;
}

static const struct weir_plugin batch_plugin = {
    .size = sizeof(struct weir_plugin), .roles = WEIR_SOURCE, .name = "batch", .version = "1", .summary = "s", .options = batch_options,
    .option_stride = sizeof(struct weir_option), .config_size = sizeof(struct batch_config), .create = batch_create,
    .collect = batch_collect, .destroy = free};

/* ---- many: seven thousand groups, served ten at a time ----------------------------------------------------------------- */

#define MANY_GROUPS 7000u
#define MANY_ROUNDS 4u
struct many {
    struct weir_self *self;
    uint32_t families[1], groups[MANY_GROUPS], series[MANY_GROUPS];
};
static _Atomic int64_t many_cpu_ns[MANY_ROUNDS + 1]; /* of its thread, when each round began */

static int many_create(struct weir_self *self, const void *config, void **state)
{
    const struct weir_family family = {.size = sizeof(family), .kind = WEIR_GAUGE, .name = "many", .help = "h"};
    struct many *many = calloc(1, sizeof(*many));
    int status = host->family(self, &family, many->families);

    (void)config;
    *state = many;
    many->self = self;
    for (uintptr_t i = 0; i < MANY_GROUPS && status >= 0; i++) {
        char name[16];
        const struct weir_label label = {"group", name};
        const struct weir_group group = {.size = sizeof(group), .name = name, .context = (void *)i, .kind = i % 2 ? "odd" : "even",
                                         .priority = (uint32_t)(i % 7)};

        snprintf(name, sizeof(name), "g%u", (unsigned)i);
        status = host->group(self, &group, &many->groups[i]);
        if (status >= 0 && i % 10 == 0) /* more than the witness can tell apart are not needed */
            status = host->series(self, many->groups[i], &label, 1, many->families, 1, &many->series[i]);
    }
    return status;
}

static int many_publish(struct many *many, const struct weir_pass *pass)
{
    const struct weir_value value = {.series = many->series[(uintptr_t)pass->context], .flags = WEIR_U64, .value.u64 = pass->number};
    struct timespec cpu;

    if (pass->context == NULL && pass->number <= MANY_ROUNDS + 1) {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
        atomic_store(&many_cpu_ns[pass->number - 1], cpu.tv_sec * CLOCK_SECOND_NS + cpu.tv_nsec);
    }
    return host->publish(many->self, &value, 1);
}

static int many_collect(void *state, const struct weir_pass *pass)
{
    struct many *many = state;
    struct weir_pass next = {.size = sizeof(next)};
    uint32_t due[9];
    int count = host->due(many->self, due, 9), status = many_publish(many, pass);

    for (int i = 0; i < count && host->next_pass(many->self, status, due[i], &next) == WEIR_OK; i++)
        status = many_publish(many, &next);
    return status;
}

static const struct weir_plugin many_plugin = {
    .size = sizeof(struct weir_plugin), .roles = WEIR_SOURCE, .name = "many", .version = "1", .summary = "s", .options = batch_options,
    .option_stride = sizeof(struct weir_option), .config_size = sizeof(struct batch_config), .create = many_create,
    .collect = many_collect, .destroy = free};

/* ---- well and user: a service and somebody inside ---------------------------------------------------------------------- */

struct well_config {
    int64_t depth;
};
struct well {
    _Atomic uint32_t alive;
    const struct well_config *config;
};
struct well_table {
    uint32_t size, version;
    int64_t (*depth)(void *well);
};
static const struct weir_option well_options[] = {
    {.name = "depth", .type = WEIR_INT, .dflt = "1", .offset = offsetof(struct well_config, depth)}, {.name = NULL}};

static int well_create(struct weir_self *self, const void *config, void **state)
{
    struct well *well = calloc(1, sizeof(*well));

    (void)self;
    well->config = config;
    *state = well;
    return WEIR_OK;
}
static int well_start(void *state)
{
    atomic_store(&((struct well *)state)->alive, ALIVE);
    return WEIR_OK;
}
static int well_stop(void *state)
{
    atomic_store(&((struct well *)state)->alive, 0);
    return WEIR_OK;
}
static int64_t well_depth(void *state)
{
    struct well *well = state;

    if (atomic_load(&well->alive) != ALIVE)
        abort(); /* somebody is inside a provider that has stopped */
    return well->config->depth;
}
static const struct well_table well_table = {.size = sizeof(well_table), .version = 1, .depth = well_depth};
static const struct weir_service well_services[] = {{.name = "well", .version = 1, .table = &well_table}, {.name = NULL}};
static const struct weir_plugin well_plugin = {
    .size = sizeof(struct weir_plugin), .roles = WEIR_PROVIDER, .name = "well", .version = "1", .summary = "s", .options = well_options,
    .option_stride = sizeof(struct weir_option), .services = well_services, .service_stride = sizeof(struct weir_service),
    .config_size = sizeof(struct well_config), .create = well_create, .start = well_start, .stop = well_stop, .destroy = free};

struct user_config {
    struct weir_binding *well;
};
struct user {
    struct weir_self *self;
    const struct user_config *config;
    uint32_t group, series;
};
static const struct weir_option user_options[] = {
    {.name = "well", .type = WEIR_SERVICE, .flags = WEIR_REQUIRED, .service = "well", .service_version = 1,
     .offset = offsetof(struct user_config, well)},
    {.name = NULL}};
static _Atomic unsigned shut_out, rebound;
static _Atomic int64_t last_depth;

static int user_create(struct weir_self *self, const void *config, void **state)
{
    const struct weir_family family = {.size = sizeof(family), .kind = WEIR_GAUGE, .name = "depth", .help = "h"};
    const struct weir_label label = {"title", host->name(self)};
    const struct weir_group group = {.size = sizeof(group), .name = "only", .interval_ns = 1000000};
    struct user *user = calloc(1, sizeof(*user));
    uint32_t id;
    int status;

    *state = user;
    user->self = self;
    user->config = config;
    if ((status = host->group(self, &group, &user->group)) < 0 || (status = host->family(self, &family, &id)) < 0)
        return status;
    return host->series(self, user->group, &label, 1, &id, 1, &user->series);
}
static int user_collect(void *state, const struct weir_pass *pass)
{
    struct user *user = state;
    const void *table;
    void *well;
    struct weir_value value = {.series = user->series, .flags = WEIR_U64};

    (void)pass;
    if (host->service_enter(user->self, user->config->well, &table, &well) < 0) {
        atomic_fetch_add(&shut_out, 1);
        return WEIR_EAGAIN;
    }
    for (unsigned i = 0; i < 20; i++) {
        value.value.u64 = (uint64_t)((const struct well_table *)table)->depth(well);
        sched_yield();
    }
    host->service_leave(user->self, user->config->well);
    atomic_store(&last_depth, (int64_t)value.value.u64);
    return host->publish(user->self, &value, 1);
}
static int user_provider_changed(void *state, const struct weir_binding *binding)
{
    ck_assert_ptr_eq(binding, ((struct user *)state)->config->well);
    atomic_fetch_add(&rebound, 1);
    return WEIR_OK;
}
static const struct weir_plugin user_plugin = {
    .size = sizeof(struct weir_plugin), .roles = WEIR_SOURCE, .name = "user", .version = "1", .summary = "s", .options = user_options,
    .option_stride = sizeof(struct weir_option), .config_size = sizeof(struct user_config), .create = user_create,
    .collect = user_collect, .destroy = free, .provider_changed = user_provider_changed};

/* ---- witness: a sink ------------------------------------------------------------------------------------------------------ */

#define HANDLES 65536u
struct seen {
    uint32_t handle;
    bool live;
    uint64_t value;
    char name[64];
};
static struct {
    pthread_mutex_t lock;
    struct seen seen[HANDLES]; /* by index */
    uint64_t numbers[HANDLES]; /* by group: of its last pass */
    unsigned gaps, wrong;
} witness = {.lock = PTHREAD_MUTEX_INITIALIZER};
struct witness_config {
    const char *note;
};
static const struct weir_option witness_options[] = {
    {.name = "note", .type = WEIR_STRING, .offset = offsetof(struct witness_config, note)}, {.name = NULL}};

static void witness_sample(struct weir_self *self, const struct weir_sample *sample, bool snapshot)
{
    uint32_t flags = weir_sample_flags(sample), handle = weir_sample_series(sample), index = handle & WEIR_SERIES_INDEX;
    struct seen *seen = &witness.seen[index % HANDLES];

    if (flags & WEIR_S_MARK) {
        /* No pass is missing, also across reloads. */
        if (!snapshot && witness.numbers[handle] && sample->aux != witness.numbers[handle] + 1)
            witness.gaps++;
        witness.numbers[handle] = sample->aux;
    } else if (flags & (WEIR_S_STALE | WEIR_S_RELEASED)) {
        /* A draft that was given up had series that never had a value: only their end is told. */
        if (seen->handle != handle && (seen->handle || flags & WEIR_S_STALE))
            witness.wrong++;
        seen->live = false;
        if (flags & WEIR_S_RELEASED)
            seen->handle = 0;
    } else {
        if (seen->handle != handle) {
            struct weir_series_info info = {.size = sizeof(info)};

            if (seen->handle || host->series_info(self, handle, &info) < 0) {
                witness.wrong++; /* an index that was used again before its end was told */
                return;
            }
            seen->handle = handle;
            snprintf(seen->name, sizeof(seen->name), "%s", info.name);
            for (size_t i = 0; i < info.nlabels; i++)
                snprintf(seen->name + strlen(seen->name), sizeof(seen->name) - strlen(seen->name), "/%s", info.labels[i].value);
        }
        seen->live = true;
        seen->value = sample->bits;
    }
}

static int witness_create(struct weir_self *self, const void *config, void **state)
{
    (void)config;
    *state = self;
    return WEIR_OK;
}
static int witness_consume(void *state, const struct weir_batch *batch)
{
    pthread_mutex_lock(&witness.lock);
    if (batch->flags & WEIR_B_GAP)
        witness.gaps++;
    for (size_t i = 0; i < batch->nsamples; i++)
        witness_sample(state, &batch->samples[i], batch->flags & WEIR_B_SNAPSHOT);
    pthread_mutex_unlock(&witness.lock);
    return WEIR_OK;
}
static const struct weir_plugin witness_plugin = {
    .size = sizeof(struct weir_plugin), .roles = WEIR_SINK, .flags = WEIR_SINGLE, .name = "witness", .version = "1", .summary = "s",
    .options = witness_options, .option_stride = sizeof(struct weir_option), .config_size = sizeof(struct witness_config),
    .create = witness_create, .consume = witness_consume};

static bool witness_sees(const char *name, uint64_t value)
{
    bool sees = false;

    pthread_mutex_lock(&witness.lock);
    for (size_t i = 0; i < HANDLES && !sees; i++)
        sees = witness.seen[i].live && witness.seen[i].value == value && strcmp(witness.seen[i].name, name) == 0;
    pthread_mutex_unlock(&witness.lock);
    return sees;
}
/* The integer that a series has; 0 if it is not there. */
static uint64_t witness_value(const char *name)
{
    uint64_t value = 0;

    pthread_mutex_lock(&witness.lock);
    for (size_t i = 0; i < HANDLES; i++)
        if (witness.seen[i].live && strcmp(witness.seen[i].name, name) == 0)
            value = witness.seen[i].value;
    pthread_mutex_unlock(&witness.lock);
    return value;
}
static unsigned witness_live(const char *prefix)
{
    unsigned count = 0;

    pthread_mutex_lock(&witness.lock);
    for (size_t i = 0; i < HANDLES; i++)
        count += witness.seen[i].live && strncmp(witness.seen[i].name, prefix, strlen(prefix)) == 0;
    pthread_mutex_unlock(&witness.lock);
    return count;
}

/* ---- Driving ----------------------------------------------------------------------------------------------------------------- */

static struct instances *all;
static char path[] = "/tmp/weir-reload-XXXXXX";
static char why[RELOAD_REASON_MAX];

static const struct weir_plugin *resolve(void *context, const char *name, char *reason, size_t size)
{
    const struct weir_plugin *const plugins[] = {&part_plugin, &batch_plugin, &many_plugin, &well_plugin, &user_plugin, &witness_plugin};

    (void)context;
    for (size_t i = 0; i < sizeof(plugins) / sizeof(plugins[0]); i++)
        if (strcmp(plugins[i]->name, name) == 0)
            return plugins[i];
    snprintf(reason, size, "unknown");
    return NULL;
}

static int load(const char *format, ...) WEIR_PRINTF(1, 2);
static int load(const char *format, ...)
{
    static const struct reload_options options = {.then = INSTANCE_RUN};
    struct mistakes mistakes = {0};
    struct config *config = NULL;
    FILE *file = fopen(path, "w");
    va_list args;
    int status;

    ck_assert_ptr_nonnull(file);
    va_start(args, format);
    fputs("plugins = { \"part\", \"batch\", \"many\", \"well\", \"user\", \"witness\" }\ninterval = \"100ms\"\nlog_level = \"error\"\n", file);
    vfprintf(file, format, args);
    va_end(args);
    fclose(file);
    why[0] = '\0';
    status = config_load(path, resolve, NULL, &config, &mistakes);
    if (status == WEIR_OK)
        status = reload_apply(all, config, &options, &mistakes, why, sizeof(why));
    else
        config_free(config);
    for (size_t i = 0; i < mistakes.count; i++)
        snprintf(why, sizeof(why), "%s", mistakes.lines[i]);
    mistakes_free(&mistakes);
    return status;
}

static void setup(void)
{
    int fd = mkstemp(path);

    close(fd);
    log_level_set(WEIR_ERROR);
    all = instances_new();
    ck_assert_ptr_nonnull(all);
}
static bool stopped; /* by the test */
static void teardown(void)
{
    atomic_store(&released, true);
    if (!stopped)
        (void)instances_stop(all, clock_now_ns() + 30 * CLOCK_SECOND_NS);
    for (int64_t until_ns = clock_now_ns() + 60 * CLOCK_SECOND_NS; !instances_reap(all) && clock_now_ns() < until_ns;)
        usleep(1000);
    ck_assert_ptr_null(all->abandoned);
    instances_free(all);
    ck_assert_int_eq(atomic_load(&parts), 0);
    unlink(path);
    ck_assert_uint_eq(witness.wrong, 0);
    ck_assert_uint_eq(witness.gaps, 0);
}

#define WAIT(condition) \
    for (int64_t until_ns = clock_now_ns() + 60 * CLOCK_SECOND_NS; !(condition);) { \
        (void)instances_supervise(all); \
        ck_assert_msg(clock_now_ns() < until_ns, "not in time: %s", #condition); \
        usleep(1000); \
    }

static struct series_group *group_of(const char *name)
{
    struct seat *seat = seats_find(&all->seats, name);

    ck_assert_ptr_nonnull(seat);
    return atomic_load(&seat->groups.first);
}
static uint64_t passes_of(const char *name)
{
    return atomic_load(&group_of(name)->passes_ok);
}
/* Of the latest committed pass: what everybody may read of it. */
static uint64_t number_of(const char *name)
{
    struct series_group *group = group_of(name);
    uint64_t numbers[] = {atomic_load(&group->numbers[0]), atomic_load(&group->numbers[1])};

    return numbers[0] > numbers[1] ? numbers[0] : numbers[1];
}

/* ---- Tests --------------------------------------------------------------------------------------------------------------------- */

START_TEST(what_did_not_change_runs_on)
{
    int before;
    uint64_t number;

    ck_assert_int_eq(load("part \"a\" { level = 1 }\npart \"b\" { level = 2 }\n"), WEIR_OK);
    WAIT(witness_sees("level/only/a", 1) && witness_sees("level/only/b", 2));
    before = atomic_load(&creations);
    ck_assert_int_eq(load("part \"a\" { level = 1 }\npart \"b\" { level = 2 }\n"), WEIR_OK);
    ck_assert_int_eq(atomic_load(&creations), before);
    /* A reloadable option goes to the object there is; another makes a new one, which goes on with the numbers of the name. */
    number = number_of("part/b");
    ck_assert_int_eq(load("part \"a\" { level = 3 }\npart \"b\" { level = 2 note = \"x\" }\n"), WEIR_OK);
    ck_assert_int_eq(atomic_load(&creations), before + 1);
    ck_assert_int_eq(atomic_load(&reconfigurations), 1);
    WAIT(witness_sees("level/only/a", 3) && number_of("part/b") > number + 2);
    WAIT(witness_value("passes/only/b") + number <= number_of("part/b")); /* it counts its own from 1 */
    /* Removed: its series end; come again: the same seat, another life. */
    ck_assert_int_eq(load("part \"b\" { level = 2 note = \"x\" }\n"), WEIR_OK);
    WAIT(witness_live("level/only/a") == 0 && atomic_load(&group_of("part/a")->series) == 0);
    ck_assert_int_eq(load("part \"a\" { level = 5 }\npart \"b\" { level = 2 note = \"x\" }\n"), WEIR_OK);
    WAIT(witness_sees("level/only/a", 5));
}
END_TEST

START_TEST(intervals_change_without_a_new_object)
{
    int before;
    uint64_t passes;

    ck_assert_int_eq(load("part \"a\" { interval = \"1h\" }\npart \"b\" { }\n"), WEIR_OK);
    WAIT(passes_of("part/a") == 1);
    before = atomic_load(&creations);
    ck_assert_int_eq(load("part \"a\" { interval = \"100ms\" }\npart \"b\" { interval = \"1h\" }\n"), WEIR_OK);
    WAIT(passes_of("part/a") > 3);
    passes = passes_of("part/b");
    WAIT(passes_of("part/a") > 10);
    ck_assert_uint_le(passes_of("part/b"), passes + 1);
    ck_assert_int_eq(atomic_load(&creations), before);
    ck_assert_int_eq(atomic_load(&reconfigurations), 0);
}
END_TEST

START_TEST(labels_and_groups_change_with_their_series)
{
    ck_assert_int_eq(load("part \"a\" { groups = { \"x\", \"y\" } }\n"), WEIR_OK);
    WAIT(witness_live("level/x") == 1 && witness_live("level/y") == 1);
    ck_assert_int_eq(load("part \"a\" { groups = { \"y\", \"z\" } labels = { \"where=here\" } }\n"), WEIR_OK);
    WAIT(witness_live("level/z/a/here") == 1 && witness_live("level/y/a/here") == 1);
    WAIT(witness_live("level/") == 2);
    WAIT(atomic_load(&all->seats.registry == NULL ? NULL : &group_of("part/a")->series) == 0);
}
END_TEST

/* Whatever fails, all is as it was: the values, the schedule, the number of objects. */
START_TEST(each_failure_leaves_all_as_it_was)
{
    static const struct {
        const char *change;
        int status;
        const char *says;
    } failures[] = {
        {"part \"a\" { level = 9 fail = \"check\" }", WEIR_ECONFIG, "part \"a\""},
        {"part \"a\" { level = 9 fail = \"create\" }", WEIR_EFAIL, "part/a could not be created"},
        {"part \"a\" { level = 9 fail = \"start\" }", WEIR_EFAIL, "part/a could not start"},
        {"part \"a\" { level = 9 }\npart \"new\" { fail = \"start\" }", WEIR_EFAIL, "part/new could not start"},
        {"part \"a\" { level = 9 note = \"y\" }\npart \"new\" { fail = \"create\" }", WEIR_EFAIL, "part/new could not be created"},
        {"part \"new\" { fail = \"start\" }", WEIR_EFAIL, "part/new could not start"}, /* and a is removed, nearly */
        {"part \"a\" { level = 9 labels = { \"title=b\" \"x=y\" } }", WEIR_ECONFIG, ""},
        {"user \"u\" { well = \"none\" }", WEIR_ECONFIG, "no enabled instance \"none\""},
        {"nonsense", WEIR_ECONFIG, ""}};

    ck_assert_int_eq(load("part \"a\" { level = 1 }\npart \"b\" { level = 2 }\n"), WEIR_OK);
    WAIT(witness_sees("level/only/a", 1) && witness_sees("level/only/b", 2));
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        uint64_t a = passes_of("part/a"), b = passes_of("part/b");

        ck_assert_int_eq(load("part \"b\" { level = 2 }\n%s\n", failures[i].change), failures[i].status);
        ck_assert_msg(strstr(why, failures[i].says) != NULL, "\"%s\" does not say \"%s\"", why, failures[i].says);
        WAIT(passes_of("part/a") > a + 2 && passes_of("part/b") > b + 2);
        ck_assert(witness_sees("level/only/a", 1) && witness_sees("level/only/b", 2));
        ck_assert_uint_eq(witness_live("level/"), 2);
        ck_assert_int_eq(atomic_load(&parts), 2);
        ck_assert_uint_eq(all->count, 4); /* a, b, witness, the collector's own */
        ck_assert_uint_eq(atomic_load(&group_of("part/a")->passes_failed), 0);
    }
    /* A reloadable change that is refused, with one before it that was taken. */
    ck_assert_int_eq(load("part \"a\" { level = 1 }\npart \"b\" { level = 2 hang = \"none\" }\n"), WEIR_OK);
}
END_TEST

START_TEST(a_refused_reconfiguration_takes_the_others_back)
{
    ck_assert_int_eq(load("part \"a\" { level = 1 }\npart \"b\" { level = 2 fail = \"reconfigure\" }\n"), WEIR_OK);
    WAIT(witness_sees("level/only/a", 1) && witness_sees("level/only/b", 2));
    ck_assert_int_eq(load("part \"a\" { level = 7 }\npart \"b\" { level = 8 fail = \"reconfigure\" }\n"), WEIR_EFAIL);
    ck_assert_ptr_nonnull(strstr(why, "part/b could not take its changed options"));
    ck_assert_int_eq(atomic_load(&reconfigurations), 2); /* a: there and back */
    {
        uint64_t a = passes_of("part/a");

        WAIT(passes_of("part/a") > a + 2);
    }
    ck_assert(witness_sees("level/only/a", 1) && witness_sees("level/only/b", 2));
}
END_TEST

START_TEST(one_that_hangs_is_given_up_when_its_successor_works)
{
    /* First a successor that does not work: the one that hangs is left to it, and comes back. */
    ck_assert_int_eq(load("timeout = \"100ms\"\npart \"a\" { hang = \"collect\" }\npart \"b\" { level = 2 }\n"), WEIR_OK);
    WAIT(witness_sees("level/only/b", 2));
    ck_assert_int_eq(load("timeout = \"100ms\"\npart \"a\" { fail = \"start\" }\npart \"b\" { level = 2 }\n"), WEIR_EFAIL);
    ck_assert_uint_eq(seats_abandoned(&all->seats), 0);
    ck_assert_int_eq(load("timeout = \"100ms\"\npart \"a\" { level = 4 }\npart \"b\" { level = 2 }\n"), WEIR_OK);
    ck_assert_uint_eq(seats_abandoned(&all->seats), 1);
    WAIT(witness_sees("level/only/a", 4));
    /* It returns after all, and changes nothing. */
    atomic_store(&released, true);
    {
        uint64_t a = passes_of("part/a");

        WAIT(passes_of("part/a") > a + 3);
    }
    ck_assert(witness_sees("level/only/a", 4));
}
END_TEST

START_TEST(one_that_hangs_is_left_alone_when_its_successor_fails)
{
    ck_assert_int_eq(load("timeout = \"100ms\"\npart \"a\" { level = 3 hang = \"collect\" }\n"), WEIR_OK);
    ck_assert_int_eq(load("timeout = \"100ms\"\npart \"a\" { hang = \"create\" }\n"), WEIR_ETIMEOUT);
    ck_assert_ptr_nonnull(strstr(why, "part/a could not be created: the plugin does not return from it"));
    ck_assert_uint_eq(seats_abandoned(&all->seats), 1); /* the successor */
    atomic_store(&released, true);
    WAIT(witness_sees("level/only/a", 3));
}
END_TEST

START_TEST(providers_are_replaced_while_users_are_inside)
{
    ck_assert_int_eq(load("well \"w\" { depth = 1 }\nuser \"u\" { well = \"w\" }\nuser \"v\" { well = \"w\" }\n"), WEIR_OK);
    for (unsigned i = 2; i < 2 + RACING_RELOADS; i++) {
        ck_assert_int_eq(load("well \"w\" { depth = %u }\nuser \"u\" { well = \"w\" }\nuser \"v\" { well = \"w\" }\n", i), WEIR_OK);
        ck_assert_uint_eq(atomic_load(&rebound), 2 * (i - 1));
    }
    WAIT(witness_sees("depth/u", 1 + RACING_RELOADS) && witness_sees("depth/v", 1 + RACING_RELOADS));
    /* Nobody was ever turned away: the successor was waited for. */
    ck_assert_uint_eq(atomic_load(&shut_out), 0);
    ck_assert_uint_eq(atomic_load(&group_of("user/u")->passes_failed), 0);
}
END_TEST

START_TEST(a_sink_is_replaced_and_misses_nothing)
{
    ck_assert_int_eq(load("part \"a\" { level = 1 interval = \"100ms\" }\n"), WEIR_OK);
    for (unsigned i = 0; i < RACING_RELOADS / 5; i++)
        ck_assert_int_eq(load("witness { note = \"%u\" }\npart \"a\" { level = %u interval = \"100ms\" }\n", i, i), WEIR_OK);
    WAIT(witness_sees("level/only/a", RACING_RELOADS / 5 - 1));
}
END_TEST

/* ---- Several groups in one collect ------------------------------------------------------------------------------------------ */

static struct series_group *batch_group_of(const char *name)
{
    struct series_group *group = group_of("batch/a");

    series_names_lock(all->seats.registry);
    while (group && (!group->name || strcmp(group->name, name) != 0))
        group = atomic_load(&group->sibling);
    series_names_unlock(all->seats.registry);
    ck_assert_ptr_nonnull(group);
    return group;
}
static uint64_t batch_passes(const char *name)
{
    return atomic_load(&batch_group_of(name)->passes_ok);
}
static uint64_t batch_failures(const char *name)
{
    return atomic_load(&batch_group_of(name)->passes_failed);
}
/* Any thread. */
static bool batch_error_is(const char *text)
{
    struct seat *seat = seats_find(&all->seats, "batch/a");
    bool same;

    pthread_mutex_lock(&seat->lock);
    same = strcmp(seat->error, text) == 0;
    pthread_mutex_unlock(&seat->lock);
    return same;
}

/* Goes on with all that are due, in their order. */
static int serve_all(struct batch *batch, const struct weir_pass *pass)
{
    uint32_t due[BATCH_GROUPS];
    struct weir_pass next = {.size = sizeof(next)};
    int64_t before_ns = pass->time_ns;
    int count = host->due(batch->self, due, BATCH_GROUPS), status = batch_publish(batch, pass);

    ck_assert_int_ge(count, 0);
    ck_assert_int_eq(host->due(batch->self, due, 1), count ? 1 : 0);
    for (int i = 0; i < count; i++) {
        ck_assert_int_eq(host->next_pass(batch->self, status, due[i], &next), WEIR_OK);
        ck_assert_uint_eq(next.size, sizeof(next));
        ck_assert_uint_eq(next.group, due[i]);
        ck_assert_uint_eq(batch->groups[(uintptr_t)next.context], due[i]);
        ck_assert_int_gt(next.time_ns, before_ns);
        ck_assert_int_gt(next.deadline_ns, host->now_ns());
        before_ns = next.time_ns;
        status = batch_publish(batch, &next);
    }
    return status;
}
START_TEST(one_collect_serves_all_that_are_due)
{
    atomic_store(&batch_serve_as, serve_all);
    ck_assert_int_eq(load("batch \"a\" { }\n"), WEIR_OK);
    ck_assert_int_eq(atomic_load(&batch_outside), WEIR_EINVAL);
    WAIT(batch_passes("e") > 5);
    WAIT(witness_live("batch/") == 5);
    ck_assert_uint_le(atomic_load(&batch_collects), batch_passes("e") + 2); /* those five are on one grid */
    for (const char *name = "a\0b\0c\0d\0e\0"; *name; name += 2)
        ck_assert_uint_eq(batch_failures(name), 0);
}
END_TEST

/* Its first pass has a MiB; it does not wait for anything in the second. */
#define LARGE 33000u
static _Atomic bool large_seen;
static int serve_large(struct batch *batch, const struct weir_pass *pass)
{
    struct weir_pass next = {.size = sizeof(next)};
    char number[16];
    const struct weir_label label = {"n", number};
    const int64_t until_ns = host->now_ns() + 30 * CLOCK_SECOND_NS;

    for (unsigned i = 0; i < LARGE; i++) {
        struct weir_value value = {.flags = WEIR_U64, .value.u64 = i};

        snprintf(number, sizeof(number), "n%u", i);
        ck_assert_int_eq(host->series(batch->self, pass->group, &label, 1, &batch->family, 1, &value.series), WEIR_OK);
        ck_assert_int_eq(host->publish(batch->self, &value, 1), WEIR_OK);
    }
    ck_assert_int_eq(host->next_pass(batch->self, WEIR_OK, batch->groups[1], &next), WEIR_OK);
    while (!(atomic_load(&large_seen) || host->now_ns() > until_ns)) {
        usleep(1000);
        atomic_store(&large_seen, witness_live("batch/n") == LARGE);
    }
    atomic_store(&batch_serve_as, serve_all);
    return batch_publish(batch, &next);
}
START_TEST(a_large_pass_is_told_of_at_once)
{
    atomic_store(&batch_serve_as, serve_large);
    ck_assert_int_eq(load("batch \"a\" { timeout = \"1h\" interval = \"1h\" }\n"), WEIR_OK);
    WAIT(batch_passes("b") == 1 && batch_passes("e") == 1); /* the others have a collect of their own */
    ck_assert(atomic_load(&large_seen));
}
END_TEST

/* In the second round: a is good, b kept, c fails with a reason, d without one, e is what no status is; the third, in which all are good,
 * begins when the test lets it. */
static int serve_statuses(struct batch *batch, const struct weir_pass *pass)
{
    struct weir_pass next = {.size = sizeof(next)}, untouched;

    while (pass->number > 2 && !atomic_load(&released))
        usleep(1000);
    if (pass->number != 2 || pass->group != batch->groups[0])
        return serve_all(batch, pass);
    memset(&untouched, 7, sizeof(untouched));
    untouched.size = sizeof(untouched);
    next = untouched;
    ck_assert_int_eq(host->next_pass(batch->self, WEIR_OK, batch->groups[0], &next), WEIR_EAGAIN); /* itself */
    ck_assert_int_eq(host->next_pass(batch->self, WEIR_OK, 0, &next), WEIR_EAGAIN);
    ck_assert_int_eq(host->next_pass(batch->self, WEIR_OK, UINT32_MAX, &next), WEIR_EAGAIN);
    ck_assert_int_eq(host->next_pass(batch->self, WEIR_OK, group_of("part/p")->id, &next), WEIR_EAGAIN); /* another's */
    ck_assert_mem_eq(&next, &untouched, sizeof(next));
    batch_publish(batch, pass);
    ck_assert_int_eq(host->next_pass(batch->self, WEIR_OK, batch->groups[1], &next), WEIR_OK);
    ck_assert_uint_eq(next.number, 2);
    ck_assert_int_eq(host->next_pass(batch->self, WEIR_KEEP, batch->groups[0], &next), WEIR_EAGAIN); /* had its turn */
    batch_publish(batch, &next);
    ck_assert_int_eq(host->next_pass(batch->self, WEIR_KEEP, batch->groups[2], &next), WEIR_OK);
    batch_publish(batch, &next);
    host->fail(batch->self, WEIR_EFAIL, "the reason of c");
    ck_assert_int_eq(host->next_pass(batch->self, WEIR_EFAIL, batch->groups[3], &next), WEIR_OK);
    ck_assert(batch_error_is("group \"c\": the reason of c"));
    batch_publish(batch, &next);
    next.size = offsetof(struct weir_pass, time_ns); /* an older plugin's */
    next.time_ns = 7;
    ck_assert_int_eq(host->next_pass(batch->self, WEIR_EFAIL, batch->groups[4], &next), WEIR_OK);
    ck_assert_int_eq(next.time_ns, 7);
    ck_assert(batch_error_is("group \"d\": failed and gave no reason"));
    return 77;
}
START_TEST(each_pass_has_its_own_status)
{
    atomic_store(&batch_serve_as, serve_statuses);
    ck_assert_int_eq(load("part \"p\" { }\nbatch \"a\" { }\n"), WEIR_OK);
    WAIT(batch_failures("e") == 1);
    /* a has its new value, b that of the first round, and the others are stale. */
    WAIT(witness_live("batch/") == 2 && witness_sees("batch/a/a", 2) && witness_sees("batch/b/a", 1));
    ck_assert(batch_error_is("group \"e\": returned a status that does not exist"));
    ck_assert_uint_eq(batch_failures("a") + batch_failures("b"), 0);
    ck_assert_uint_eq(atomic_load(&batch_group_of("b")->passes_kept), 1);
    ck_assert_uint_eq(batch_failures("c"), 1);
    ck_assert_uint_eq(batch_failures("d"), 1);
    atomic_store(&released, true);
    WAIT(witness_live("batch/") == 5);
    ck_assert_uint_eq(batch_failures("c") + batch_failures("d") + batch_failures("e"), 3);
}
END_TEST

/* Waits until it is interrupted; true if that was not before its deadline. */
static bool interrupted_in_time(struct batch *batch, const struct weir_pass *pass)
{
    ck_assert_int_eq(host->wait_fd(batch->self, -1, 0, host->now_ns() + CLOCK_SECOND_NS / 50), WEIR_ETIMEOUT);
    ck_assert_int_eq(host->wait_fd(batch->self, -1, 0, INT64_MAX), WEIR_EINTR);
    return host->now_ns() >= pass->deadline_ns;
}
static _Atomic unsigned on_time;
static int serve_late(struct batch *batch, const struct weir_pass *pass)
{
    struct weir_pass next = {.size = sizeof(next)};

    atomic_fetch_add(&on_time, interrupted_in_time(batch, pass));
    ck_assert_int_eq(host->next_pass(batch->self, batch_publish(batch, pass), batch->groups[1], &next), WEIR_OK);
    /* It has all of its time, and is interrupted for itself. */
    ck_assert_int_gt(next.deadline_ns, host->now_ns() + CLOCK_SECOND_NS / 10);
    atomic_fetch_add(&on_time, interrupted_in_time(batch, &next));
    ck_assert_int_eq(host->next_pass(batch->self, batch_publish(batch, &next), batch->groups[2], &next), WEIR_OK);
    ck_assert_int_eq(host->wait_fd(batch->self, -1, 0, host->now_ns() + CLOCK_SECOND_NS / 50), WEIR_ETIMEOUT);
    atomic_store(&batch_serve_as, serve_all);
    return batch_publish(batch, &next);
}
START_TEST(each_pass_has_its_own_deadline)
{
    atomic_store(&batch_serve_as, serve_late);
    ck_assert_int_eq(load("batch \"a\" { timeout = \"300ms\" interval = \"1h\" }\n"), WEIR_OK);
    WAIT(batch_passes("e") == 1);
    ck_assert_uint_eq(atomic_load(&on_time), 2);
    ck_assert_uint_eq(atomic_load(&batch_group_of("a")->overruns), 1);
    ck_assert_uint_eq(atomic_load(&batch_group_of("b")->overruns), 1);
    ck_assert_uint_eq(atomic_load(&batch_group_of("c")->overruns), 0);
    WAIT(witness_live("batch/") == 5); /* late, but there */
}
END_TEST

/* Ignores its interruption in its second pass, and goes on with a third when it is let go. */
static int serve_hanging(struct batch *batch, const struct weir_pass *pass)
{
    struct weir_pass next = {.size = sizeof(next)};
    int status;

    ck_assert_int_eq(host->next_pass(batch->self, batch_publish(batch, pass), batch->groups[1], &next), WEIR_OK);
    while (!atomic_load(&released))
        usleep(1000);
    batch_publish(batch, &next);
    atomic_store(&batch_serve_as, serve_all);
    status = host->next_pass(batch->self, WEIR_OK, batch->groups[2], &next);
    if (status == WEIR_OK)
        return serve_all(batch, &next);
    ck_assert_int_eq(status, WEIR_EINTR);
    return WEIR_OK;
}
START_TEST(one_that_hangs_in_its_second_pass_comes_back)
{
    const struct seat *seat;

    atomic_store(&batch_serve_as, serve_hanging);
    ck_assert_int_eq(load("batch \"a\" { timeout = \"100ms\" }\n"), WEIR_OK);
    seat = seats_find(&all->seats, "batch/a");
    WAIT(atomic_load(&seat->stuck));
    ck_assert_uint_eq(batch_passes("a"), 1);
    ck_assert_str_eq(instances_find(all, seat)->call_group->name, "b");
    atomic_store(&released, true);
    WAIT(!atomic_load(&seat->stuck) && batch_passes("b") > 1 && batch_passes("e") > 1);
    ck_assert_uint_eq(atomic_load(&batch_group_of("b")->overruns), 1);
}
END_TEST

START_TEST(one_that_hangs_in_its_second_pass_is_given_up)
{
    atomic_store(&batch_serve_as, serve_hanging);
    ck_assert_int_eq(load("batch \"a\" { timeout = \"100ms\" }\n"), WEIR_OK);
    WAIT(batch_passes("a") == 1);
    atomic_store(&batch_serve_as, serve_all);
    ck_assert_int_eq(load("batch \"a\" { timeout = \"100ms\" note = \"next\" }\n"), WEIR_OK);
    ck_assert_uint_eq(seats_abandoned(&all->seats), 1);
    WAIT(batch_passes("b") > 2);
    atomic_store(&released, true); /* it gets no other pass, and what it published in the one that it had is nowhere */
    WAIT(instances_reap(all));
    WAIT(batch_passes("b") > 5 && batch_passes("e") > 5 && witness_live("batch/") == 5);
}
END_TEST

/* Stays in its first pass until it is to return. */
static _Atomic bool staying;
static int serve_until_told(struct batch *batch, const struct weir_pass *pass)
{
    struct weir_pass next = {.size = sizeof(next)};
    int status;

    batch_publish(batch, pass);
    atomic_store(&staying, true);
    while ((status = host->next_pass(batch->self, WEIR_EFAIL, pass->group, &next)) == WEIR_EAGAIN)
        usleep(1000);
    ck_assert_int_eq(status, WEIR_EINTR);
    ck_assert_int_eq(host->next_pass(batch->self, WEIR_EFAIL, batch->groups[1], &next), WEIR_EINTR);
    atomic_store(&batch_serve_as, serve_all);
    return WEIR_OK;
}
START_TEST(a_reload_between_two_passes)
{
    atomic_store(&batch_serve_as, serve_until_told);
    ck_assert_int_eq(load("batch \"a\" { timeout = \"1h\" interval = \"1h\" }\n"), WEIR_OK);
    WAIT(atomic_load(&staying));
    ck_assert_int_eq(load("batch \"a\" { timeout = \"1h\" interval = \"1h\" note = \"next\" }\n"), WEIR_OK);
    ck_assert_uint_eq(seats_abandoned(&all->seats), 0);
    WAIT(batch_passes("e") == 1);
    ck_assert_uint_eq(batch_passes("a"), 2); /* the old object's pass counts too */
    for (const char *name = "a\0b\0c\0d\0e\0"; *name; name += 2)
        ck_assert_uint_eq(batch_failures(name), 0);
}
END_TEST

START_TEST(an_end_between_two_passes)
{
    int64_t began_ns;

    atomic_store(&batch_serve_as, serve_until_told);
    ck_assert_int_eq(load("batch \"a\" { timeout = \"1h\" interval = \"1h\" }\n"), WEIR_OK);
    WAIT(atomic_load(&staying));
    began_ns = clock_now_ns();
    stopped = instances_stop(all, clock_now_ns() + 60 * CLOCK_SECOND_NS);
    ck_assert(stopped);
    ck_assert_int_lt(clock_now_ns() - began_ns, 30 * CLOCK_SECOND_NS);
    ck_assert_uint_eq(batch_passes("a"), 1);
    ck_assert_uint_eq(batch_passes("b"), 0);
}
END_TEST

/* Groups that end and begin in the middle of things. */
static int serve_changing(struct batch *batch, const struct weir_pass *pass)
{
    uint32_t due[BATCH_GROUPS];
    struct weir_pass next = {.size = sizeof(next)};

    if (pass->number != 2 || pass->group != batch->groups[0])
        return serve_all(batch, pass);
    batch_publish(batch, pass);
    ck_assert_int_eq(host->due(batch->self, due, BATCH_GROUPS), 4);
    ck_assert_int_eq(host->group_end(batch->self, batch->groups[1]), WEIR_OK); /* another one, which is due */
    ck_assert_int_eq(host->next_pass(batch->self, WEIR_OK, due[0], &next), WEIR_EAGAIN);
    ck_assert_int_eq(batch_group(batch, 5), WEIR_OK); /* a new one is due at once, and so last */
    ck_assert_int_eq(host->due(batch->self, due, BATCH_GROUPS), 4);
    ck_assert_uint_eq(due[3], batch->groups[5]);
    ck_assert_int_eq(host->next_pass(batch->self, WEIR_OK, batch->groups[5], &next), WEIR_OK);
    batch_publish(batch, &next);
    ck_assert_int_eq(host->group_end(batch->self, batch->groups[5]), WEIR_OK); /* the one of the pass */
    ck_assert_int_eq(host->next_pass(batch->self, WEIR_OK, batch->groups[2], &next), WEIR_OK);
    batch_publish(batch, &next);
    ck_assert_int_eq(host->group_end(batch->self, batch->groups[2]), WEIR_OK); /* and again, to come back */
    ck_assert_int_eq(batch_group(batch, 2), WEIR_OK);
    ck_assert_int_eq(host->next_pass(batch->self, WEIR_OK, batch->groups[2], &next), WEIR_OK); /* due at once */
    ck_assert_uint_eq(next.number, 3);
    return batch_publish(batch, &next);
}
START_TEST(groups_change_between_two_passes)
{
    atomic_store(&batch_serve_as, serve_changing);
    ck_assert_int_eq(load("batch \"a\" { }\n"), WEIR_OK);
    WAIT(batch_passes("a") > 3 && batch_passes("c") > 4 && batch_passes("e") > 3);
    WAIT(witness_live("batch/") == 4 && witness_live("batch/b") == 0 && witness_live("batch/f") == 0);
    WAIT(atomic_load(&seats_find(&all->seats, "batch/a")->groups.count) == 4); /* those two have lost their names */
    for (const char *name = "a\0c\0d\0e\0"; *name; name += 2)
        ck_assert_uint_eq(batch_failures(name), 0);
}
END_TEST

/* Each in a collect of its own.  d fails until it is let go; b ends when a is told to end it. */
static _Atomic bool b_ends;
static int serve_kinds(struct batch *batch, const struct weir_pass *pass)
{
    if (pass->group == batch->groups[0] && atomic_exchange(&b_ends, false))
        ck_assert_int_eq(host->group_end(batch->self, batch->groups[1]), WEIR_OK);
    if (pass->group == batch->groups[3] && !atomic_load(&released))
        return WEIR_EFAIL;
    return batch_publish(batch, pass);
}
START_TEST(groups_of_a_kind_are_told_of_together)
{
    uint64_t sum;

    batch_as[0].kind = batch_as[1].kind = "pair";
    batch_as[2].kind = batch_as[3].kind = "late";
    atomic_store(&batch_serve_as, serve_kinds);
    ck_assert_int_eq(load("batch \"a\" { }\n"), WEIR_OK);
    WAIT(witness_value("weir_group_passes_total/pair/batch/a") > 8 && witness_value("weir_group_passes_total/e/batch/a") > 4);
    WAIT(witness_value("weir_group_passes_failed_total/late/batch/a") > 4);
    ck_assert_uint_eq(witness_live("weir_group_passes_total/"), 5); /* three kinds, and the collector's own two */
    ck_assert_uint_eq(witness_value("weir_group_series/pair/batch/a"), 2);
    /* One of them has had no success yet. */
    ck_assert_uint_eq(witness_live("weir_group_last_success_timestamp_seconds/pair/"), 1);
    ck_assert_uint_eq(witness_live("weir_group_last_success_timestamp_seconds/late/"), 0);
    ck_assert_uint_eq(witness_live("weir_group_age_seconds/late/"), 1);
    atomic_store(&released, true);
    WAIT(witness_live("weir_group_last_success_timestamp_seconds/late/") == 1);
    /* What b has counted stays in the sum. */
    sum = witness_value("weir_group_passes_total/pair/batch/a");
    atomic_store(&b_ends, true);
    WAIT(witness_value("weir_group_series/pair/batch/a") == 1);
    for (uint64_t until = sum + 20; sum < until;) {
        uint64_t now = witness_value("weir_group_passes_total/pair/batch/a");

        ck_assert_uint_ge(now, sum);
        sum = now;
        usleep(1000);
    }
    ck_assert_uint_gt(sum, batch_passes("a"));
    /* The last of a kind takes it along; one that comes again is another. */
    ck_assert_int_eq(load("\n"), WEIR_OK);
    WAIT(witness_live("weir_group_passes_total/pair/") == 0);
    ck_assert_int_eq(load("batch \"a\" { }\n"), WEIR_OK);
    WAIT(witness_live("weir_group_passes_total/pair/") == 1);
    ck_assert_uint_lt(witness_value("weir_group_passes_total/pair/batch/a"), sum);
}
END_TEST

/* By priority, then in the order of adding. */
static int serve_in_order(struct batch *batch, const struct weir_pass *pass)
{
    uint32_t due[BATCH_GROUPS];

    ck_assert_uint_eq(pass->group, batch->groups[3]);
    ck_assert_int_eq(host->due(batch->self, due, BATCH_GROUPS), 4);
    ck_assert_uint_eq(due[0], batch->groups[1]);
    ck_assert_uint_eq(due[1], batch->groups[4]);
    ck_assert_uint_eq(due[2], batch->groups[0]);
    ck_assert_uint_eq(due[3], batch->groups[2]);
    atomic_store(&batch_serve_as, serve_all);
    return serve_all(batch, pass);
}
/* What `weir once` does of it. */
static int once(void)
{
    static const struct reload_options options = {.then = INSTANCE_PAUSE, .partial = true};
    struct mistakes mistakes = {0};
    struct config *config = NULL;
    struct weir_self *self;
    FILE *file = fopen(path, "w");

    fputs("plugins = { \"batch\" }\nlog_level = \"error\"\nbatch \"a\" { }\n", file);
    fclose(file);
    ck_assert_int_eq(config_load(path, resolve, NULL, &config, &mistakes), WEIR_OK);
    ck_assert_int_eq(reload_apply(all, config, &options, &mistakes, why, sizeof(why)), WEIR_OK);
    self = instances_find(all, seats_find(&all->seats, "batch/a"));
    instance_give(self, INSTANCE_ONCE);
    return instances_await(self, 60 * CLOCK_SECOND_NS, CLOCK_SECOND_NS);
}
START_TEST(once_makes_one_pass_of_each_group)
{
    /* All are due again at once, and yet have one turn. */
    for (unsigned i = 0; i < BATCH_GROUPS; i++)
        batch_as[i] = (struct weir_group){.interval_ns = 1, .priority = (const uint32_t[]){2, 1, 2, 0, 1, 0}[i]};
    atomic_store(&batch_serve_as, serve_in_order);
    ck_assert_int_eq(once(), 0);
    for (const char *name = "a\0b\0c\0d\0e\0"; *name; name += 2)
        ck_assert_uint_eq(batch_passes(name), 1);
    ck_assert_uint_eq(atomic_load(&batch_collects), 1);
}
END_TEST

static int serve_failing(struct batch *batch, const struct weir_pass *pass)
{
    uint32_t due[BATCH_GROUPS];
    struct weir_pass next = *pass;

    for (int i = 0, count = host->due(batch->self, due, 3); i < count; i++)
        ck_assert_int_eq(host->next_pass(batch->self, WEIR_EFAIL, due[i], &next), WEIR_OK);
    return batch_publish(batch, &next);
}
START_TEST(once_counts_all_that_failed)
{
    atomic_store(&batch_serve_as, serve_failing);
    ck_assert_int_eq(once(), 3); /* a, b and c; d and e are good */
    ck_assert_uint_eq(batch_passes("d"), 1);
    ck_assert_uint_eq(batch_passes("e"), 1);
    ck_assert_uint_eq(atomic_load(&batch_collects), 2);
}
END_TEST

/* What 7,000 turns cost, ten in each collect: schedule, passes, marks and clocks; no sink loses anything. */
START_TEST(seven_thousand_groups_are_cheap)
{
    int64_t least_ns = INT64_MAX;

    ck_assert_int_eq(load("many \"a\" { interval = \"500ms\" }\n"), WEIR_OK);
    WAIT(atomic_load(&many_cpu_ns[MANY_ROUNDS]));
    for (unsigned i = 0; i < MANY_ROUNDS; i++) {
        int64_t round_ns = atomic_load(&many_cpu_ns[i + 1]) - atomic_load(&many_cpu_ns[i]);

        least_ns = round_ns < least_ns ? round_ns : least_ns;
    }
    ck_assert_int_lt(least_ns, MANY_CPU_NS);
    WAIT(witness_live("many/") == MANY_GROUPS / 10);
    /* They are told of by kind. */
    WAIT(witness_live("weir_group_passes_total/even/many/a") == 1 && witness_live("weir_group_passes_total/odd/many/a") == 1);
    ck_assert_uint_eq(witness_live("weir_group_passes_total/"), 4); /* and the collector's own two */
}
END_TEST

/* A thousand configurations, half of them wrong, and a model of what runs. */
START_TEST(random_configurations)
{
    struct model {
        bool is;
        unsigned level, label; /* label 2: none */
    } model[TITLES] = {0};
    unsigned good = 0, bad = 0;

    srand(7);
    for (unsigned round = 0; round < RANDOM_RELOADS; round++) {
        struct strbuf text = {.ceiling = 65536};
        struct model next[TITLES] = {0};
        bool wrong = rand() % 2;
        unsigned where = (unsigned)rand() % TITLES;
        int status;

        strbuf_printf(&text, "# %u\n", round);
        for (unsigned t = 0; t < TITLES; t++) {
            next[t] = (struct model){.is = rand() % 3 || (wrong && t == where), .level = (unsigned)rand() % 1000, .label = 2};
            if (!next[t].is)
                continue;
            if (model[t].is && rand() % 2)
                next[t].level = model[t].level;
            strbuf_printf(&text, "part \"t%u\" { level = %u note = \"%d\" ", t, next[t].level, rand() % 3);
            if (rand() % 2)
                strbuf_printf(&text, "groups = { \"only\", \"g%d\" } ", rand() % 3);
            next[t].label = (unsigned)rand() % 3;
            if (next[t].label < 2)
                strbuf_printf(&text, "labels = { \"x=%u\" } ", next[t].label);
            if (wrong && t == where) {
                static const char *const mistakes[] = {"fail = \"create\"", "fail = \"start\"", "fail = \"check\"", "level = \"x\"",
                                                       "unknown = 1", "note = \"again\"", "interval = \"0\"", "groups = {"};

                strbuf_printf(&text, "%s ", mistakes[rand() % 8]);
            }
            strbuf_printf(&text, "}\n");
        }
        status = load("%s", text.text);
        ck_assert_msg((status < 0) == wrong, "%d: %s\n%s", status, why, text.text);
        strbuf_free(&text);
        if (status == WEIR_OK)
            memcpy(model, next, sizeof(model));
        good += status == WEIR_OK;
        bad += status < 0;
        if (round % 10 && round + 1 < RANDOM_RELOADS)
            continue;
        for (unsigned t = 0; t < TITLES; t++) {
            char name[32];

            snprintf(name, sizeof(name), "level/only/t%u", t);
            if (model[t].is && model[t].label < 2)
                snprintf(name, sizeof(name), "level/only/t%u/%u", t, model[t].label);
            if (model[t].is)
                WAIT(witness_sees(name, model[t].level))
            else
                WAIT(witness_live(name) == 0)
        }
    }
    ck_assert_uint_gt(good, RANDOM_RELOADS / 3);
    ck_assert_uint_gt(bad, RANDOM_RELOADS / 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reload");
    TCase *tests = tcase_create("all"), *passes = tcase_create("passes");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tests, 600);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, what_did_not_change_runs_on);
    tcase_add_test(tests, intervals_change_without_a_new_object);
    tcase_add_test(tests, labels_and_groups_change_with_their_series);
    tcase_add_test(tests, each_failure_leaves_all_as_it_was);
    tcase_add_test(tests, a_refused_reconfiguration_takes_the_others_back);
    tcase_add_test(tests, one_that_hangs_is_given_up_when_its_successor_works);
    tcase_add_test(tests, one_that_hangs_is_left_alone_when_its_successor_fails);
    tcase_add_test(tests, providers_are_replaced_while_users_are_inside);
    tcase_add_test(tests, a_sink_is_replaced_and_misses_nothing);
    tcase_add_test(tests, random_configurations);
    suite_add_tcase(suite, tests);
    tcase_set_timeout(passes, 600);
    tcase_add_checked_fixture(passes, setup, teardown);
    tcase_add_test(passes, one_collect_serves_all_that_are_due);
    tcase_add_test(passes, a_large_pass_is_told_of_at_once);
    tcase_add_test(passes, each_pass_has_its_own_status);
    tcase_add_test(passes, each_pass_has_its_own_deadline);
    tcase_add_test(passes, one_that_hangs_in_its_second_pass_comes_back);
    tcase_add_test(passes, one_that_hangs_in_its_second_pass_is_given_up);
    tcase_add_test(passes, a_reload_between_two_passes);
    tcase_add_test(passes, an_end_between_two_passes);
    tcase_add_test(passes, groups_change_between_two_passes);
    tcase_add_test(passes, groups_of_a_kind_are_told_of_together);
    tcase_add_test(passes, once_makes_one_pass_of_each_group);
    tcase_add_test(passes, once_counts_all_that_failed);
    tcase_add_test(passes, seven_thousand_groups_are_cheap);
    suite_add_tcase(suite, passes);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
