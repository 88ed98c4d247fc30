/* system.c - figures of the host from /proc and /sys, under the names of node_exporter: entry, options, life cycle.
 *
 * Each kind of figure is a part (system.h) with a group and a pass of its own.  A steady pass opens nothing but what the
 * kernel does not let it read again, formats nothing and hashes nothing: files stay open, things are recognized by their
 * place in the file, and their series were made when they first came.  A part whose file is missing fails alone, and is
 * back when the file is.
 * Threads: the instance's own, and the one in which filesystem.c asks mounts.
 */
#include "system.h"

#include <stdlib.h>
#include <string.h>

static const char disks_left_out[] = "^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme[0-9]+n[0-9]+p)[0-9]+$";
static const char mounts_left_out[] = "^/(dev|proc|run|sys|mnt|media|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)";
static const char types_left_out[] =
    "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|"
    "pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$";

#define AT(field) .offset = offsetof(struct system_config, field)
static const struct weir_option options[] = {
    {.name = "proc", .type = WEIR_STRING, .dflt = "/proc", AT(proc), .help = "Where procfs is."},
    {.name = "sys", .type = WEIR_STRING, .dflt = "/sys", AT(sys), .help = "Where sysfs is."},
    {.name = "root", .type = WEIR_STRING, .dflt = "/", AT(root),
     .help = "Where the host's root is, as seen from here; put before mount points when they are asked."},
    {.name = "groups", .type = WEIR_LIST, AT(groups),
     .help = "What to collect, all by default: cpu, stat, loadavg, pressure, meminfo, vmstat, diskstats, netdev, filesystem, time, "
             "clocksource, uname."},
    {.name = "diskstats_device_exclude", .type = WEIR_STRING, .dflt = disks_left_out, AT(diskstats_device_exclude),
     .help = "Disks to leave out; a POSIX extended regular expression, as all of these, and empty for none."},
    {.name = "netdev_device_exclude", .type = WEIR_STRING, .dflt = "^lo$", AT(netdev_device_exclude),
     .help = "Interfaces to leave out."},
    {.name = "filesystem_mount_points_exclude", .type = WEIR_STRING, .dflt = mounts_left_out, AT(filesystem_mount_points_exclude),
     .help = "Mount points to leave out."},
    {.name = "filesystem_fs_types_exclude", .type = WEIR_STRING, .dflt = types_left_out, AT(filesystem_fs_types_exclude),
     .help = "Types of file systems to leave out."},
    {.name = "filesystem_mount_timeout", .type = WEIR_DURATION, .dflt = "5s", .min = 10000000, .max = INT64_C(3600000000000),
     AT(filesystem_mount_timeout_ns), .help = "How long mounts may take to answer before their figures are left out."},
    {.name = "vmstat_fields", .type = WEIR_STRING, .dflt = "^(oom_kill|pgpg|pswp|pg.*fault).*", AT(vmstat_fields),
     .help = "Lines of /proc/vmstat to take."},
    {.name = NULL}};

static const struct part_kind *const kinds[] = {&cpu_kind,        &stat_kind,   &loadavg_kind,     &pressure_kind,
                                                &meminfo_kind,    &vmstat_kind, &diskstats_kind,   &netdev_kind,
                                                &filesystem_kind, &time_kind,   &clocksource_kind, &uname_kind};

const struct weir_host *host;

/* ---- What parts are made of ------------------------------------------------------------------------------------------------ */

int part_file(struct part *part, unsigned index, const char *directory, const char *name)
{
    return file_init(&part->files[index], directory, name) ? WEIR_OK : WEIR_ENOMEM;
}

int part_file_whole(struct part *part, unsigned index, const char *directory, const char *name)
{
    int status = part_file(part, index, directory, name);

    part->files[index].whole = true;
    return status;
}

int part_families(struct part *part, const struct figure *figures, size_t count)
{
    int status = WEIR_OK;

    for (size_t i = 0; i < count && status == WEIR_OK; i++) {
        const struct weir_family family = {.size = sizeof(family), .kind = figures[i].kind, .name = figures[i].name,
                                           .unit = figures[i].unit, .help = figures[i].help};

        status = host->family(part->system->self, &family, &part->families[i]);
    }
    return status;
}

int part_series(struct part *part, const struct figure *figures, size_t count)
{
    int status = part_families(part, figures, count);

    return status == WEIR_OK ? part_item_series(part, NULL, 0, part->families, count, part->handles) : status;
}

int part_item_series(struct part *part, const struct weir_label *labels, size_t nlabels, const uint32_t *families, size_t count,
                     uint32_t *handles)
{
    int status = host->series(part->system->self, part->group, labels, nlabels, families, count, handles);

    return status == WEIR_ELIMIT ? WEIR_OK : status;
}

int part_read(struct part *part, unsigned index, struct text *text)
{
    struct file *file = &part->files[index];
    int error = file_read(file, &part->system->buffer, text);

    if (error)
        return host->fail(part->system->self, WEIR_EFAIL, "could not read \"%s\": %s", file->path, strerror(error));
    return WEIR_OK;
}

static void forget_own(void *context, struct item *item)
{
    struct part *part = context;

    if (part->kind->forget)
        part->kind->forget(part, item);
}

static void forget(void *context, struct item *item)
{
    struct part *part = context;

    (void)host->release(part->system->self, item->handles, part->items.width);
    forget_own(part, item);
}

int part_item(struct part *part, const struct weir_pass *pass, struct text key, part_make *make, const void *line,
              struct item **item)
{
    struct item *found = items_find(&part->items, key.at, text_length(key));
    int status;

    *item = NULL;
    if (found && found->seen == pass->number)
        return WEIR_OK;
    if (found) {
        found->seen = pass->number;
        *item = found;
        return WEIR_OK;
    }
    found = items_add(&part->items, key.at, text_length(key), pass->number);
    if (!found) {
        part->skipped++;
        return WEIR_OK;
    }
    status = make(part, found, line);
    if (status == WEIR_OK) {
        *item = found;
    } else { /* one without its series must not stay */
        forget(part, found);
        items_drop(&part->items);
    }
    return status;
}

void part_items_end(struct part *part, const struct weir_pass *pass)
{
    items_end(&part->items, pass->number, forget, part);
}

int part_publish(struct part *part, const struct weir_value *values, size_t count)
{
    return host->publish(part->system->self, values, count) == WEIR_ELIMIT ? WEIR_ELIMIT : WEIR_OK;
}

static int collect(void *state, const struct weir_pass *pass)
{
    struct part *part = pass->context;
    int status = part->kind->collect(part, pass);
    const struct weir_value skipped = value_u64(part->skipped_series, part->skipped);

    (void)state;
    part->items.next = 0; /* also after a pass that failed half way */
    return status == WEIR_OK ? part_publish(part, &skipped, 1) : status;
}

/* ---- Life ------------------------------------------------------------------------------------------------------------------ */

static bool wanted(const struct system_config *config, const char *group)
{
    bool is = config->groups.count == 0;

    for (size_t i = 0; i < config->groups.count; i++)
        is |= strcmp(config->groups.items[i], group) == 0;
    return is;
}

/* Compiles the patterns in the order of their options; the first `system->npatterns` are to be freed. */
static int patterns_compile(struct weir_self *self, const struct system_config *config, struct system *system)
{
    const struct {
        const char *option, *text;
        regex_t *pattern;
    } patterns[] = {
        {"diskstats_device_exclude", config->diskstats_device_exclude, &system->diskstats_device_exclude},
        {"netdev_device_exclude", config->netdev_device_exclude, &system->netdev_device_exclude},
        {"filesystem_mount_points_exclude", config->filesystem_mount_points_exclude, &system->filesystem_mount_points_exclude},
        {"filesystem_fs_types_exclude", config->filesystem_fs_types_exclude, &system->filesystem_fs_types_exclude},
        {"vmstat_fields", config->vmstat_fields, &system->vmstat_fields}};

    for (system->npatterns = 0; system->npatterns < COUNT_OF(patterns); system->npatterns++) {
        const char *text = patterns[system->npatterns].text;
        regex_t *pattern = patterns[system->npatterns].pattern;
        /* Empty leaves out nothing: a text that no name has. */
        int error = regcomp(pattern, text && *text ? text : "^$", REG_EXTENDED | REG_NOSUB);
        char why[256];

        if (!error)
            continue;
        regerror(error, pattern, why, sizeof(why));
        return host->fail(self, WEIR_ECONFIG, "%s: \"%s\" cannot be used as a pattern: %s",
                          patterns[system->npatterns].option, text, why);
    }
    return WEIR_OK;
}

static void patterns_free(struct system *system)
{
    regex_t *const patterns[] = {&system->diskstats_device_exclude, &system->netdev_device_exclude,
                                 &system->filesystem_mount_points_exclude, &system->filesystem_fs_types_exclude,
                                 &system->vmstat_fields};

    for (size_t i = 0; i < system->npatterns; i++)
        regfree(patterns[i]);
    system->npatterns = 0;
}

static int check(struct weir_self *self, const void *given)
{
    const struct system_config *config = given;
    const char *const folders[][2] = {{"proc", config->proc}, {"sys", config->sys}, {"root", config->root}};
    struct system system;
    int status;

    for (size_t i = 0; i < COUNT_OF(folders); i++)
        if (!folders[i][1] || folders[i][1][0] != '/')
            return host->fail(self, WEIR_ECONFIG, "%s: \"%s\" is not an absolute path", folders[i][0],
                              folders[i][1] ? folders[i][1] : "");
    for (size_t i = 0; i < config->groups.count; i++) {
        size_t k = 0;

        while (k < COUNT_OF(kinds) && strcmp(kinds[k]->name, config->groups.items[i]) != 0)
            k++;
        if (k == COUNT_OF(kinds))
            return host->fail(self, WEIR_ECONFIG, "groups: \"%s\" is not known; see `weir describe system`",
                              config->groups.items[i]);
    }
    status = patterns_compile(self, config, &system);
    patterns_free(&system);
    return status;
}

static int part_create(struct part *part, uint32_t skipped_family)
{
    const struct weir_group group = {.size = sizeof(group), .name = part->kind->name, .context = part};
    const struct weir_label label = {"group", part->kind->name};
    struct weir_self *self = part->system->self;
    int status = host->group(self, &group, &part->group);

    if (status == WEIR_OK)
        status = part_item_series(part, &label, 1, &skipped_family, 1, &part->skipped_series);
    return status == WEIR_OK ? part->kind->create(part) : status;
}

static int create(struct weir_self *self, const void *config, void **state)
{
    const struct weir_family skipped = {.size = sizeof(skipped), .kind = WEIR_COUNTER, .name = "weir_system_skipped_total",
                                        .help = "Lines that were not as expected, and things beyond a limit, which were left out"};
    struct system *system = calloc(1, sizeof(*system));
    uint32_t skipped_id;
    int status;

    if (!system)
        return WEIR_ENOMEM;
    *state = system;
    system->self = self;
    system->config = config;
    system->parts = calloc(COUNT_OF(kinds), sizeof(*system->parts));
    if (!system->parts)
        return WEIR_ENOMEM;
    if ((status = patterns_compile(self, config, system)) < 0 || (status = host->family(self, &skipped, &skipped_id)) < 0)
        return status;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct part *part = &system->parts[system->nparts];

        if (!wanted(config, kinds[i]->name))
            continue;
        part->system = system;
        part->kind = kinds[i];
        system->nparts++;
        if ((status = part_create(part, skipped_id)) < 0)
            return status;
    }
    return WEIR_OK;
}

static int stop(void *state)
{
    struct system *system = state;

    for (size_t i = 0; i < system->nparts; i++)
        if (system->parts[i].kind->stop)
            system->parts[i].kind->stop(&system->parts[i]);
    return WEIR_OK;
}

static void destroy(void *state)
{
    struct system *system = state;

    for (size_t i = 0; i < system->nparts; i++) {
        struct part *part = &system->parts[i];

        items_free(&part->items, forget_own, part);
        for (size_t f = 0; f < PART_FILES_MAX; f++)
            file_free(&part->files[f]);
        if (part->kind->destroy)
            part->kind->destroy(part);
    }
    patterns_free(system);
    file_free(&system->stat_file);
    free(system->stat_buffer.bytes);
    free(system->buffer.bytes);
    free(system->parts);
    free(system);
}

static const struct weir_plugin plugin = {
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_SOURCE,
    .flags = WEIR_SINGLE,
    .name = "system",
    .version = WEIR_VERSION,
    .summary = "the figures of the host, under the names of node_exporter",
    .options = options,
    .option_stride = sizeof(options[0]),
    .config_size = sizeof(struct system_config),
    .check = check,
    .create = create,
    .collect = collect,
    .stop = stop,
    .destroy = destroy,
};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table_of_host)
{
    host = table_of_host;
    return &plugin;
}
