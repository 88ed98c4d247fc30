/* loader.c - finds, checks and loads plugins; loader.h says by which rules.
 *
 * Everything is decided on one open descriptor, and dlopen goes through it, so that the file that was checked is the file that is
 * loaded.  The symbol is versioned by name: another major is another symbol.
 */
#include "loader.h"

#include "util/arena.h"

#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPTIONS_MAX 256u
#define SERVICES_MAX 16u
#define COMMANDS_MAX 64u
#define PLUGINS_MAX 256u
#define ARENA_BYTES_MAX (16u * 1024u * 1024u)

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#error "the machine's ELF number is wanted here"
#endif

struct loader {
    const char *const *folders;
    size_t nfolders;
    const struct weir_host *host;
    struct loader_plugin *plugins;
    struct arena arena;
};

/* Where plugins' code lies, for a signal handler: entries are written before the count. */
static struct {
    uintptr_t begin, end;
    char name[64];
} owned[PLUGINS_MAX];
static _Atomic size_t owned_count;

struct loader *loader_new(const char *const *folders, size_t nfolders, const struct weir_host *host)
{
    struct loader *loader = calloc(1, sizeof(*loader));

    if (!loader)
        return NULL;
    loader->folders = folders;
    loader->nfolders = nfolders;
    loader->host = host;
    loader->arena.ceiling = ARENA_BYTES_MAX;
    return loader;
}

void loader_free(struct loader *loader)
{
    if (!loader)
        return;
    arena_free(&loader->arena);
    free(loader);
}

/* ---- The file ---------------------------------------------------------------------------------------------------- */

static bool name_valid(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return length && length < 64 && !name[length] && *name >= 'a' && *name <= 'z';
}

/* Nobody but root and the collector's user may be able to change it. */
static bool owner_good(const struct stat *info, const char *what, const char *path, char *why, size_t why_size)
{
    if (info->st_uid != 0 && info->st_uid != geteuid()) {
        snprintf(why, why_size, "%s %s belongs to user %u; make it root's or the collector's own", what, path, info->st_uid);
        return false;
    }
    if (info->st_mode & S_IWOTH || (info->st_mode & S_IWGRP && info->st_gid != 0)) {
        snprintf(why, why_size, "%s %s can be changed by others (mode %04o); chmod go-w it", what, path,
                 info->st_mode & 07777u);
        return false;
    }
    return true;
}

static bool elf_good(int fd, const struct stat *info, const char *path, char *why, size_t why_size)
{
    ElfW(Ehdr) header;
    ElfW(Phdr) segment;
    uint64_t size = (uint64_t)info->st_size;
    ssize_t got = pread(fd, &header, sizeof(header), 0);

    if (got < SELFMAG || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
        snprintf(why, why_size, "%s is not a shared object", path);
        return false;
    }
    if (got < (ssize_t)sizeof(header)) {
        snprintf(why, why_size, "%s is truncated; install it again", path);
        return false;
    }
    if (header.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
        header.e_ident[EI_DATA] != (__BYTE_ORDER == __LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB) ||
        header.e_machine != MACHINE) {
        snprintf(why, why_size, "%s is for another architecture (ELF machine %u); build it for this one", path,
                 header.e_machine);
        return false;
    }
    if (header.e_type != ET_DYN || header.e_phentsize != sizeof(segment)) {
        snprintf(why, why_size, "%s is not a shared object", path);
        return false;
    }
    for (unsigned i = 0; i < header.e_phnum; i++) {
        if (pread(fd, &segment, sizeof(segment), (off_t)(header.e_phoff + i * sizeof(segment))) !=
                (ssize_t)sizeof(segment) ||
            (segment.p_type == PT_LOAD && (segment.p_filesz > size || segment.p_offset > size - segment.p_filesz))) {
            snprintf(why, why_size, "%s is truncated; install it again", path);
            return false;
        }
    }
    if (header.e_shoff > size || (uint64_t)header.e_shnum * header.e_shentsize > size - header.e_shoff) {
        snprintf(why, why_size, "%s is truncated; install it again", path);
        return false;
    }
    return true;
}

/* An open descriptor of the plugin's file, checked; -1 and why.  *path is the arena's. */
static int file_open(struct loader *loader, const char *name, const char **path, char *why, size_t why_size)
{
    char text[4096], folders[1024] = "";
    struct stat info;
    size_t n = 0;

    for (size_t i = 0; i < loader->nfolders; i++) {
        const char *folder = loader->folders[i];
        int fd, length = snprintf(folders + n, sizeof(folders) - n, "%s%s", n ? ", " : "", folder);

        n += length > 0 && (size_t)length < sizeof(folders) - n ? (size_t)length : 0;
        if (snprintf(text, sizeof(text), "%s/%s.so", folder, name) >= (int)sizeof(text))
            continue;
        fd = open(text, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 && errno == ENOENT)
            continue;
        *path = arena_copy(&loader->arena, text, strlen(text));
        if (fd < 0) {
            snprintf(why, why_size, "could not open %s: %s", text, strerror(errno));
            return -1;
        }
        if (!*path || stat(folder, &info) < 0)
            snprintf(why, why_size, "could not look at %s: %s", folder, strerror(errno));
        else if (!owner_good(&info, "folder", folder, why, why_size))
            ;
        else if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
            snprintf(why, why_size, "%s is not a regular file", text);
        else if (owner_good(&info, "file", text, why, why_size) && elf_good(fd, &info, text, why, why_size))
            return fd;
        close(fd);
        return -1;
    }
    snprintf(why, why_size, "there is no %s.so in %s", name, folders);
    return -1;
}

/* ---- The description ---------------------------------------------------------------------------------------------- */

static const size_t option_bytes[] = {
    [WEIR_BOOL] = sizeof(bool),           [WEIR_INT] = sizeof(int64_t),      [WEIR_SIZE] = sizeof(int64_t),
    [WEIR_DURATION] = sizeof(int64_t),    [WEIR_STRING] = sizeof(char *),    [WEIR_SECRET] = sizeof(void *),
    [WEIR_ENUM] = sizeof(int64_t),        [WEIR_LIST] = sizeof(struct weir_list), [WEIR_SERVICE] = sizeof(void *),
    [WEIR_SECTION] = sizeof(struct weir_rows)};

/* True if every section has an option of this name already. */
static bool name_taken(const char *name)
{
    static const char *const reserved[] = {"enabled", "interval", "timeout", "labels", "max_series"};
    bool taken = false;

    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        taken |= strcmp(name, reserved[i]) == 0;
    return taken;
}

static bool option_good(const struct weir_option *option, size_t config_size, unsigned depth, char *why, size_t why_size)
{
    if (!name_valid(option->name)) {
        snprintf(why, why_size, "option \"%s\" has a name that is not made of a-z, 0-9 and _", option->name);
        return false;
    }
    if (depth == 0 && name_taken(option->name)) {
        snprintf(why, why_size, "option \"%s\" has a name that every section has already", option->name);
        return false;
    }
    if (option->type < WEIR_BOOL || option->type > WEIR_SECTION) {
        snprintf(why, why_size, "option \"%s\" has a type that this core does not know", option->name);
        return false;
    }
    if (option->offset > config_size || option_bytes[option->type] > config_size - option->offset) {
        snprintf(why, why_size, "option \"%s\" lies outside of the config struct of %zu bytes", option->name, config_size);
        return false;
    }
    if ((option->type == WEIR_ENUM && !option->choices) || (option->type == WEIR_SERVICE && !option->service) ||
        (option->type == WEIR_SECTION && (!option->rows || !option->row_size))) {
        snprintf(why, why_size, "option \"%s\" lacks its choices, service or rows", option->name);
        return false;
    }
    return true;
}

/* Copies options by stride into structs of this core's size, nested ones too. */
static const struct weir_option *options_copy(struct loader *loader, const struct weir_option *options, size_t stride,
                                              size_t config_size, unsigned depth, char *why, size_t why_size)
{
    const char *from = (const char *)options;
    struct weir_option *copy;
    size_t count = 0;

    if (stride < offsetof(struct weir_option, flags) || stride > 4096 || depth > 4) {
        snprintf(why, why_size, "its options have a stride of %zu bytes", stride);
        return NULL;
    }
    while (((const struct weir_option *)(const void *)(from + count * stride))->name && count < OPTIONS_MAX)
        count++;
    copy = arena_alloc(&loader->arena, (count + 1) * sizeof(*copy));
    if (!copy || count == OPTIONS_MAX) {
        snprintf(why, why_size, "it has too many options, or there is no memory");
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(&copy[i], from + i * stride, stride < sizeof(*copy) ? stride : sizeof(*copy));
        if (!option_good(&copy[i], config_size, depth, why, why_size))
            return NULL;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(copy[k].name, copy[i].name) == 0) {
                snprintf(why, why_size, "option \"%s\" is there twice", copy[i].name);
                return NULL;
            }
        }
        if (copy[i].type == WEIR_SECTION) {
            copy[i].rows = options_copy(loader, copy[i].rows, stride, copy[i].row_size, depth + 1, why, why_size);
            if (!copy[i].rows)
                return NULL;
        }
    }
    return copy;
}

static const struct weir_service *services_copy(struct loader *loader, const struct weir_service *services, size_t stride,
                                                char *why, size_t why_size)
{
    const char *from = (const char *)services;
    struct weir_service *copy = arena_alloc(&loader->arena, (SERVICES_MAX + 1) * sizeof(*copy));

    if (!copy || stride < offsetof(struct weir_service, table) + sizeof(void *) || stride > 4096) {
        snprintf(why, why_size, "its services have a stride of %zu bytes, or there is no memory", stride);
        return NULL;
    }
    for (size_t i = 0;; i++) {
        memcpy(&copy[i], from + i * stride, stride < sizeof(*copy) ? stride : sizeof(*copy));
        if (!copy[i].name)
            return copy;
        if (i == SERVICES_MAX || !copy[i].table) {
            snprintf(why, why_size, "service \"%s\" has no table, or there are too many", copy[i].name);
            return NULL;
        }
    }
}

static const struct weir_command *commands_copy(struct loader *loader, const struct weir_command *commands, size_t stride,
                                                char *why, size_t why_size)
{
    const char *from = (const char *)commands;
    struct weir_command *copy = arena_alloc(&loader->arena, (COMMANDS_MAX + 1) * sizeof(*copy));

    if (!copy || stride < offsetof(struct weir_command, flags) + sizeof(uint32_t) || stride > 4096) {
        snprintf(why, why_size, "its commands have a stride of %zu bytes, or there is no memory", stride);
        return NULL;
    }
    for (size_t i = 0;; i++) {
        memcpy(&copy[i], from + i * stride, stride < sizeof(*copy) ? stride : sizeof(*copy));
        if (!copy[i].name)
            return copy;
        if (i == COMMANDS_MAX || !copy[i].run || !name_valid(copy[i].name)) {
            snprintf(why, why_size, "command \"%s\" has no function or an odd name, or there are too many", copy[i].name);
            return NULL;
        }
    }
}

static bool description_good(const struct weir_plugin *plugin, const char *name, char *why, size_t why_size)
{
    if (!plugin->name || strcmp(plugin->name, name) != 0)
        snprintf(why, why_size, "it calls itself \"%s\"; the file must be named after it",
                 plugin->name ? plugin->name : "");
    else if (!plugin->version || !plugin->summary || !plugin->create)
        snprintf(why, why_size, "its description lacks a version, a summary or create");
    else if (!(plugin->roles || plugin->commands) || ((plugin->roles & WEIR_SOURCE) && !plugin->collect) ||
             ((plugin->roles & WEIR_SINK) && !plugin->consume) || ((plugin->roles & WEIR_PROVIDER) && !plugin->services))
        snprintf(why, why_size, "its roles and callbacks do not fit: a source collects, a sink consumes, a provider has services");
    else if (plugin->config_size > (1u << 20))
        snprintf(why, why_size, "its config struct has %zu bytes", plugin->config_size);
    else
        return true;
    return false;
}

static bool describe(struct loader *loader, const struct weir_plugin *theirs, const char *name,
                     struct loader_plugin *plugin, char *why, size_t why_size)
{
    struct weir_plugin *ours = &plugin->description;

    if (theirs->size < offsetof(struct weir_plugin, create) + sizeof(theirs->create) || theirs->size > 65536) {
        snprintf(why, why_size, "its description has a size of %u bytes", theirs->size);
        return false;
    }
    memcpy(ours, theirs, theirs->size < sizeof(*ours) ? theirs->size : sizeof(*ours));
    if (!description_good(ours, name, why, why_size))
        return false;
    if (ours->options) {
        ours->options = options_copy(loader, ours->options, ours->option_stride, ours->config_size, 0, why, why_size);
        ours->option_stride = sizeof(struct weir_option);
        if (!ours->options)
            return false;
    }
    if (ours->services) {
        ours->services = services_copy(loader, ours->services, ours->service_stride, why, why_size);
        ours->service_stride = sizeof(struct weir_service);
        if (!ours->services)
            return false;
    }
    if (ours->commands) {
        ours->commands = commands_copy(loader, ours->commands, ours->command_stride, why, why_size);
        ours->command_stride = sizeof(struct weir_command);
        if (!ours->commands)
            return false;
    }
    return true;
}

/* ---- Loading ------------------------------------------------------------------------------------------------------ */

struct range {
    const void *inside;
    uintptr_t begin, end;
};

static int range_find(struct dl_phdr_info *info, size_t size, void *context)
{
    struct range *range = context;
    uintptr_t address = (uintptr_t)range->inside;

    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

        if (info->dlpi_phdr[i].p_type == PT_LOAD && address >= begin && address < begin + info->dlpi_phdr[i].p_memsz) {
            range->begin = begin;
            range->end = begin + info->dlpi_phdr[i].p_memsz;
            return 1;
        }
    }
    return 0;
}

/* Remembers where the plugin's code lies. */
static void own(const char *name, const void *inside)
{
    size_t count = atomic_load_explicit(&owned_count, memory_order_relaxed);
    struct range range = {.inside = inside};

    if (count == PLUGINS_MAX || !dl_iterate_phdr(range_find, &range))
        return;
    owned[count].begin = range.begin;
    owned[count].end = range.end;
    snprintf(owned[count].name, sizeof(owned[count].name), "%s", name);
    atomic_store_explicit(&owned_count, count + 1, memory_order_release);
}

const char *loader_owner(const void *address)
{
    size_t count = atomic_load_explicit(&owned_count, memory_order_acquire);

    for (size_t i = 0; i < count; i++)
        if ((uintptr_t)address >= owned[i].begin && (uintptr_t)address < owned[i].end)
            return owned[i].name;
    return NULL;
}

/* dlerror without the name of the descriptor's link, which says nothing to anybody. */
static const char *dl_reason(const char *link)
{
    const char *text = dlerror();
    size_t length = strlen(link);

    if (text && strncmp(text, link, length) == 0 && strncmp(text + length, ": ", 2) == 0)
        return text + length + 2;
    return text ? text : "no reason given";
}

static const struct weir_plugin *entry_call(void *object, const struct weir_host *host, const char *name, const char *path,
                                            char *why, size_t why_size)
{
    const struct weir_plugin *(*entry)(const struct weir_host *host);
    const struct weir_plugin *theirs;
    void *symbol = dlsym(object, "weir_plugin_v1");

    if (!symbol) {
        for (unsigned major = 0; major < 10; major++) {
            char other[] = "weir_plugin_v0";

            other[sizeof(other) - 2] = (char)('0' + major);
            if (dlsym(object, other)) {
                snprintf(why, why_size, "%s speaks version %u of the plugin contract, this core speaks 1; build it again",
                         path, major);
                return NULL;
            }
        }
        snprintf(why, why_size, "%s does not export weir_plugin_v1: it is no plugin of weir", path);
        return NULL;
    }
    own(name, symbol);
    memcpy(&entry, &symbol, sizeof(entry)); /* ISO C has no conversion from object to function pointers */
    theirs = entry(host);
    if (!theirs)
        snprintf(why, why_size, "%s refuses to work here; its reason is in the log", path);
    return theirs;
}

const struct loader_plugin *loader_load(struct loader *loader, const char *name, char *why, size_t why_size)
{
    struct loader_plugin *plugin;
    const struct weir_plugin *theirs;
    const char *path = NULL;
    char link[64], reason[512];
    void *object;
    int fd;

    for (plugin = loader->plugins; plugin; plugin = plugin->next)
        if (strcmp(plugin->description.name, name) == 0)
            return plugin;
    if (!name_valid(name)) {
        snprintf(why, why_size, "a plugin's name is made of a-z, 0-9 and _");
        return NULL;
    }
    fd = file_open(loader, name, &path, why, why_size);
    if (fd < 0)
        return NULL;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    object = dlopen(link, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        snprintf(why, why_size, "cannot load %s: %s", path, dl_reason(link));
        close(fd);
        return NULL;
    }
    /* The descriptor stays open: glibc knows objects by the name they were opened with, and the next one needs another. */
    theirs = entry_call(object, loader->host, name, path, why, why_size);
    if (!theirs)
        return NULL;
    plugin = arena_alloc(&loader->arena, sizeof(*plugin));
    if (!plugin) {
        snprintf(why, why_size, "no memory");
        return NULL;
    }
    if (!describe(loader, theirs, name, plugin, reason, sizeof(reason))) {
        snprintf(why, why_size, "%s: %s", path, reason);
        return NULL;
    }
    plugin->path = path;
    plugin->next = loader->plugins;
    loader->plugins = plugin;
    return plugin;
}

/* ---- Listing ------------------------------------------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void loader_each(struct loader *loader, void (*visit)(void *context, const char *name), void *context)
{
    char *names[PLUGINS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < loader->nfolders; i++) {
        DIR *folder = opendir(loader->folders[i]);

        for (const struct dirent *entry; folder && count < PLUGINS_MAX && (entry = readdir(folder)) != NULL;) {
            size_t length = strlen(entry->d_name);

            if (length > 3 && strcmp(entry->d_name + length - 3, ".so") == 0) {
                names[count] = strndup(entry->d_name, length - 3);
                count += names[count] != NULL;
            }
        }
        if (folder)
            closedir(folder);
    }
    qsort(names, count, sizeof(*names), compare_names);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
            visit(context, names[i]);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
}
