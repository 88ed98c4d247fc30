/* filesystem.c - size and use of mounted file systems: the list from /proc/1/mounts, the figures from statvfs.
 *
 * statvfs of a mount whose server is dead does not return.  So a thread asks (probe.h), but for mounts that the kernel answers
 * by itself.  When it takes longer than PATIENCE, the rest is given to another; a mount that has not answered at the end has
 * node_filesystem_device_error 1 and no figures, and is not asked again before its last call returns.
 * Threads: the instance's, and those of probe.h.
 */
#include "system.h"

#include "probe.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_NS INT64_C(100000000)
#define LOOK_AGAIN_NS INT64_C(20000000)

enum { FS_DEVICE_ERROR, FS_SIZE, FS_FREE, FS_AVAIL, FS_FILES, FS_FILES_FREE, FS_READONLY, FS_SERIES };

/* Types whose figures are in memory. */
static const char *const local_types[] = {"ext2", "ext3", "ext4", "xfs", "vfat", "tmpfs", "ramfs", "devtmpfs"};

struct mount { /* item->own */
    struct probe *probe;
    bool readonly, at_once; /* at_once: asked in the instance's thread */
    bool local;             /* the kernel answers by itself */
};
struct asking { /* part->own */
    struct prober prober;
    struct probe **probes; /* of this pass */
    size_t count, room;
    bool known;            /* the items are those of the list as it was read last */
};

/* ---- Mounts ---------------------------------------------------------------------------------------------------------------- */

static int filesystem_create(struct part *part)
{
    static const struct figure figures[FS_SERIES] = {
        [FS_DEVICE_ERROR] = {"node_filesystem_device_error", NULL,
                             "Whether an error occurred while getting statistics for the given device.", WEIR_GAUGE},
        [FS_SIZE] = {"node_filesystem_size_bytes", "bytes", "Filesystem size in bytes.", WEIR_GAUGE},
        [FS_FREE] = {"node_filesystem_free_bytes", "bytes", "Filesystem free space in bytes.", WEIR_GAUGE},
        [FS_AVAIL] = {"node_filesystem_avail_bytes", "bytes", "Filesystem space available to non-root users in bytes.", WEIR_GAUGE},
        [FS_FILES] = {"node_filesystem_files", NULL, "Filesystem total file nodes.", WEIR_GAUGE},
        [FS_FILES_FREE] = {"node_filesystem_files_free", NULL, "Filesystem total free file nodes.", WEIR_GAUGE},
        [FS_READONLY] = {"node_filesystem_readonly", NULL, "Filesystem read-only status.", WEIR_GAUGE}};
    const char *proc = part->system->config->proc;
    struct asking *asking = calloc(1, sizeof(*asking));
    int status;

    if (!asking)
        return WEIR_ENOMEM;
    part->own = asking;
    asking->prober.ask = statvfs;
    items_init(&part->items, FS_SERIES, PART_ITEMS_MAX);
    if ((status = part_file(part, 0, proc, "1/mounts")) < 0 || (status = part_file(part, 1, proc, "mounts")) < 0)
        return status;
    return part_families(part, figures, COUNT_OF(figures));
}

static void filesystem_forget(struct part *part, struct item *item)
{
    struct mount *mount = item->own;

    (void)part;
    if (mount && mount->probe)
        probe_leave(mount->probe);
    free(mount);
}

/* A mount point as the host sees it, and the path that leads there from here. */
static const char *mount_names(const struct system *system, struct text point, char *path)
{
    const char *root = system->config->root;
    size_t length = strlen(root);
    char *name;

    while (length && root[length - 1] == '/')
        length--;
    name = path + length;
    memcpy(path, root, length);
    parse_unescape(point, name);
    /* Mounts of a container in which the host's root is at `root` have it in their names. */
    if (length && strncmp(name, path, length) == 0 && (name[length] == '/' || !name[length]))
        memmove(name, name + length, strlen(name + length) + 1);
    if (!*name)
        strcpy(name, "/");
    return name;
}

static int filesystem_make(struct part *part, struct item *item, const void *line)
{
    const struct mount_line *read = line;
    struct system *system = part->system;
    struct mount *mount = calloc(1, sizeof(*mount));
    char *path = malloc(strlen(system->config->root) + text_length(read->point) + 2);
    char device[NAME_BYTES_MAX + 1], type[NAME_BYTES_MAX + 1];
    struct weir_label labels[] = {{"device", device}, {"fstype", type}, {"mountpoint", NULL}};
    int status = mount && path ? WEIR_OK : WEIR_ENOMEM;

    item->own = mount;
    if (status != WEIR_OK)
        goto out;
    for (size_t i = 0; i < COUNT_OF(local_types); i++)
        mount->local |= text_is(read->type, local_types[i]);
    labels[2].value = mount_names(system, read->point, path);
    text_copy(read->device, device, sizeof(device)); /* escaped as it is, like node_exporter's */
    text_copy(read->type, type, sizeof(type));
    item->excluded = regexec(&system->filesystem_mount_points_exclude, labels[2].value, 0, NULL, 0) == 0 ||
                     regexec(&system->filesystem_fs_types_exclude, type, 0, NULL, 0) == 0;
    mount->probe = probe_new(path);
    if (!mount->probe)
        status = WEIR_ENOMEM;
    else if (!item->excluded)
        status = part_item_series(part, labels, COUNT_OF(labels), part->families, FS_SERIES, item->handles);
out:
    free(path);
    return status;
}

static int list_add(struct asking *asking, struct probe *probe)
{
    if (asking->count == asking->room) {
        size_t room = asking->room ? asking->room * 2 : 16;
        struct probe **larger = realloc(asking->probes, room * sizeof(struct probe *));

        if (!larger)
            return WEIR_ENOMEM;
        asking->probes = larger;
        asking->room = room;
    }
    asking->probes[asking->count++] = probe;
    return WEIR_OK;
}

static bool beneath(const char *path, const char *parent)
{
    size_t length = strlen(parent);

    return strncmp(path, parent, length) == 0 && (path[length] == '/' || !path[length] || (length && parent[length - 1] == '/'));
}

/* A mount is asked at once if the way to it leads through no other kind. */
static void mounts_sort(struct part *part)
{
    struct item *const *list = part->items.list;

    for (size_t i = 0; i < part->items.count; i++) {
        struct mount *mount = list[i]->own;

        mount->at_once = mount->local && !list[i]->excluded;
        for (size_t j = 0; j < part->items.count && mount->at_once; j++) {
            const struct mount *other = list[j]->own;

            mount->at_once = other->local || !beneath(mount->probe->path, other->probe->path);
        }
    }
}

/* Reads which mounts there are. */
static int mounts_read(struct part *part, const struct weir_pass *pass)
{
    struct asking *asking = part->own;
    bool first = part->files[0].fd >= 0; /* the one that was read last */
    struct text rest, line;
    int status = WEIR_OK;

    if (!file_changed(&part->files[!first]) && asking->known) {
        for (size_t i = 0; i < part->items.count; i++)
            part->items.list[i]->seen = pass->number;
        return WEIR_OK;
    }
    asking->known = false;
    /* Those of the first process are the host's; where it is hidden, one's own. */
    if (file_read(&part->files[0], &part->system->buffer, &rest) != 0)
        status = part_read(part, 1, &rest);
    while (status == WEIR_OK && text_line(&rest, &line)) {
        struct mount_line read;
        struct mount *mount;
        struct item *item;

        if (parse_mount(line, &read) != LINE_GOOD) {
            part->skipped++;
            continue;
        }
        status = part_item(part, pass, read.key, filesystem_make, &read, &item);
        if (!item || item->excluded)
            continue;
        mount = item->own;
        mount->readonly = read.readonly;
    }
    if (status != WEIR_OK)
        return status;
    part_items_end(part, pass);
    mounts_sort(part);
    asking->known = true;
    return WEIR_OK;
}

/* ---- Figures --------------------------------------------------------------------------------------------------------------- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Asks those that answer at once, and lists the others. */
static int mounts_ask_local(struct part *part)
{
    struct asking *asking = part->own;
    int status = WEIR_OK;

    asking->count = 0;
    for (size_t i = 0; i < part->items.count && status == WEIR_OK; i++) {
        const struct item *item = part->items.list[i];
        const struct mount *mount = item->own;

        if (item->excluded || probe_busy(mount->probe))
            continue;
        if (mount->at_once)
            probe_ask(mount->probe, asking->prober.ask);
        else
            status = list_add(asking, mount->probe);
    }
    return status;
}

/* Asks those in the list, until all have answered or the time is over; failure is an interruption, or no thread. */
static int mounts_ask(struct part *part, const struct weir_pass *pass)
{
    struct weir_self *self = part->system->self;
    struct asking *asking = part->own;
    const int64_t now_ns = host->now_ns();
    /* A tenth of what is left is for the rest of the pass. */
    const int64_t until_ns = earlier(now_ns + part->system->config->filesystem_mount_timeout_ns,
                                     pass->deadline_ns - (pass->deadline_ns - now_ns) / 10);

    for (size_t begun = 0; begun < asking->count && host->now_ns() < until_ns;) {
        int error = prober_hand(&asking->prober, asking->probes + begun, asking->count - begun), ready;

        if (error)
            return host->fail(self, WEIR_EFAIL, "could not start a thread to ask mounts: %s", strerror(error));
        ready = host->wait_fd(self, prober_fd(&asking->prober), POLLIN, earlier(host->now_ns() + PATIENCE_NS, until_ns));
        if (ready > 0)
            return WEIR_OK;
        begun += prober_leave(&asking->prober);
        if (ready != WEIR_ETIMEOUT)
            return ready;
    }
    /* Each in a thread of its own by now. */
    for (size_t i = 0; i < asking->count; i++) {
        while (probe_busy(asking->probes[i]) && host->now_ns() < until_ns) {
            int status = host->wait_fd(self, -1, 0, host->now_ns() + LOOK_AGAIN_NS);

            if (status != WEIR_ETIMEOUT)
                return status;
        }
    }
    return WEIR_OK;
}

static int mount_publish(struct part *part, const struct item *item)
{
    const struct mount *mount = item->own;
    const struct statvfs *is = &mount->probe->result;
    struct weir_value values[FS_SERIES];
    bool good = !probe_busy(mount->probe) && mount->probe->answered && mount->probe->error == 0;

    values[FS_DEVICE_ERROR] = value_u64(item->handles[FS_DEVICE_ERROR], !good);
    if (!good)
        return part_publish(part, values, 1);
    values[FS_SIZE] = value_u64(item->handles[FS_SIZE], (uint64_t)is->f_blocks * is->f_bsize);
    values[FS_FREE] = value_u64(item->handles[FS_FREE], (uint64_t)is->f_bfree * is->f_bsize);
    values[FS_AVAIL] = value_u64(item->handles[FS_AVAIL], (uint64_t)is->f_bavail * is->f_bsize);
    values[FS_FILES] = value_u64(item->handles[FS_FILES], is->f_files);
    values[FS_FILES_FREE] = value_u64(item->handles[FS_FILES_FREE], is->f_ffree);
    values[FS_READONLY] = value_u64(item->handles[FS_READONLY], mount->readonly || is->f_flag & ST_RDONLY);
    return part_publish(part, values, FS_SERIES);
}

static int filesystem_collect(struct part *part, const struct weir_pass *pass)
{
    int status = mounts_read(part, pass);

    if (status == WEIR_OK)
        status = mounts_ask_local(part);
    if (status == WEIR_OK)
        status = mounts_ask(part, pass);
    for (size_t i = 0; i < part->items.count && status == WEIR_OK; i++)
        if (!part->items.list[i]->excluded)
            status = mount_publish(part, part->items.list[i]);
    return status;
}

static void filesystem_stop(struct part *part)
{
    struct asking *asking = part->own;

    prober_stop(&asking->prober);
}

static void filesystem_destroy(struct part *part)
{
    struct asking *asking = part->own;

    if (!asking)
        return;
    prober_stop(&asking->prober);
    free(asking->probes);
    free(asking);
}

const struct part_kind filesystem_kind = {.name = "filesystem", .create = filesystem_create, .collect = filesystem_collect,
                                          .stop = filesystem_stop, .forget = filesystem_forget, .destroy = filesystem_destroy};
