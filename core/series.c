/* series.c - the registry of families, label sets, groups and series; series.h says how values are shared.
 *
 * Cells, meta and start times are reserved once for every possible index and touched only where there are series, so that
 * addresses never change under a reader.  Three open-addressing tables find families by name, label sets by their
 * bytes and series by (family, label set); the bytes are compared on every hit.
 */
#include "series.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define EXTENT_FIRST 32u
#define EXTENT_LAST 65536u
#define TABLE_FIRST 256u
#define TABLE_GONE UINT32_MAX /* a deleted entry */
#define SNAPSHOT_TRIES 1000

/* One allocation: the struct, its labels, their text. */
struct series_labelset {
    uint32_t id, users;
    uint64_t hash;
    uint32_t count, bytes; /* labels; bytes of text */
    struct weir_label labels[];
};

/* Open addressing with linear probing; entries are ids, 0 is empty. */
struct table {
    uint32_t *entries;
    uint32_t size, used, live; /* used counts deleted ones too */
};

struct series_registry {
    pthread_mutex_t names_lock; /* over names and kinds of groups; taken before `lock` */
    uint64_t kinds_made;
    struct table by_group;
    uint32_t ngroups;

    pthread_mutex_t lock; /* over everything else but cells and what groups own */
    uint64_t seed;
    uint32_t max_series;

    struct series_cell *cells;
    struct series_meta *metas;
    _Atomic int64_t *starts;
    uint32_t next_index;
    uint64_t count;

    struct series_family **families; /* by id, from 1; reserved, as the cells are */
    uint32_t nfamilies;
    struct series_labelset **labelsets; /* by id, from 1; NULL while free */
    uint32_t *free_labelsets;
    uint32_t nlabelsets, labelsets_room, nfree_labelsets;
    uint64_t labelset_bytes;
    _Atomic(struct series_group *) *groups; /* by id, from 1 */

    struct table by_name, by_labels, by_identity;
};

static void say(char *why, size_t why_size, const char *format, ...) WEIR_PRINTF(3, 4);
static void say(char *why, size_t why_size, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, why_size, format, args);
    va_end(args);
}

/* ---- Tables ----------------------------------------------------------------------------------------------------- */

static int table_resize(struct series_registry *registry, struct table *table,
                        uint64_t (*hash)(const struct series_registry *registry, uint32_t id))
{
    uint32_t size = TABLE_FIRST, *entries;

    while (size / 4 * 3 <= table->live + 1) {
        if (size > UINT32_MAX / 2)
            return WEIR_ENOMEM;
        size *= 2;
    }
    entries = calloc(size, sizeof(*entries));
    if (!entries)
        return WEIR_ENOMEM;
    for (uint32_t i = 0; i < table->size; i++) {
        uint32_t id = table->entries[i];

        if (id && id != TABLE_GONE) {
            uint32_t at = (uint32_t)hash(registry, id) & (size - 1);

            while (entries[at])
                at = (at + 1) & (size - 1);
            entries[at] = id;
        }
    }
    free(table->entries);
    table->entries = entries;
    table->size = size;
    table->used = table->live;
    return WEIR_OK;
}

static int table_reserve(struct series_registry *registry, struct table *table,
                         uint64_t (*hash)(const struct series_registry *registry, uint32_t id))
{
    if (table->used + 1 < table->size / 4 * 3)
        return WEIR_OK;
    return table_resize(registry, table, hash);
}

static void table_add(struct table *table, uint64_t hash, uint32_t id)
{
    uint32_t at = (uint32_t)hash & (table->size - 1);

    while (table->entries[at] && table->entries[at] != TABLE_GONE)
        at = (at + 1) & (table->size - 1);
    if (!table->entries[at])
        table->used++;
    table->entries[at] = id;
    table->live++;
}

static void table_remove(struct table *table, uint64_t hash, uint32_t id)
{
    uint32_t at = (uint32_t)hash & (table->size - 1);

    while (table->entries[at] && table->entries[at] != id)
        at = (at + 1) & (table->size - 1);
    if (table->entries[at] != id)
        return;
    table->entries[at] = TABLE_GONE;
    table->live--;
}

/* ---- Text ------------------------------------------------------------------------------------------------------- */

static bool name_valid(const char *name, bool colon)
{
    size_t n = 0;

    if (!name || (*name >= '0' && *name <= '9'))
        return false;
    for (; *name; name++, n++)
        if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || (*name >= '0' && *name <= '9') ||
              *name == '_' || (colon && *name == ':')))
            return false;
    return n > 0 && n <= SERIES_NAME_MAX;
}

/* Length of the well-formed UTF-8 sequence at s (RFC 3629: no overlong forms, no surrogates), or 0. */
static size_t utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        return (s[1] & 0xc0) == 0x80 ? 2 : 0;
    if ((s[0] & 0xf0) == 0xe0) {
        if ((s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80)
            return 0;
        if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))
            return 0;
        return 3;
    }
    if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        if ((s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80 || (s[3] & 0xc0) != 0x80)
            return 0;
        if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
            return 0;
        return 4;
    }
    return 0;
}

/* Copies text with bytes that are not UTF-8 as \xNN, cut to `room` without splitting a character; returns its length. */
static size_t text_clean(char *out, size_t room, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    const unsigned char *s = (const unsigned char *)text;
    size_t n = 0;

    while (*s) {
        size_t length = utf8_length(s);

        if (n + (length ? length : 4) > room)
            break;
        if (length) {
            memcpy(out + n, s, length);
            n += length;
            s += length;
        } else {
            out[n++] = '\\';
            out[n++] = 'x';
            out[n++] = digits[*s >> 4];
            out[n++] = digits[*s & 15];
            s++;
        }
    }
    return n;
}

/* Characters of well-formed UTF-8. */
static size_t text_characters(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* A bound of a bucket or a quantile in its canonical form: the fewest digits that read back as the same number, an exponent below
 * 1e-04 and from 1e+06 on, else a point.  False: this is no number. */
static bool bound_canonical(char *out, size_t room, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    int digits = 1, exponent;

    if (end == text || *end || isnan(value))
        return false;
    if (isinf(value)) {
        snprintf(out, room, "%cInf", value < 0 ? '-' : '+');
        return true;
    }
    for (; digits < 17; digits++) {
        snprintf(out, room, "%.*e", digits - 1, value);
        if (strtod(out, NULL) == value) /* NOLINT: the same number */
            break;
    }
    snprintf(out, room, "%.*e", digits - 1, value);
    exponent = atoi(strchr(out, 'e') + 1);
    if (exponent >= -4 && exponent < 6)
        snprintf(out, room, "%.*f", digits - 1 - exponent > 1 ? digits - 1 - exponent : 1, value);
    return true;
}

/* ---- The registry ----------------------------------------------------------------------------------------------- */

static void *reserve(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static void unreserve(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, bytes);
}

struct series_registry *series_registry_new(uint32_t max_series)
{
    struct series_registry *registry = calloc(1, sizeof(*registry));

    if (!registry)
        return NULL;
    pthread_mutex_init(&registry->names_lock, NULL);
    pthread_mutex_init(&registry->lock, NULL);
    series_registry_limit(registry, max_series);
    registry->next_index = 1;
    if (getrandom(&registry->seed, sizeof(registry->seed), GRND_NONBLOCK) != (ssize_t)sizeof(registry->seed))
        registry->seed = (uint64_t)(uintptr_t)registry;
    registry->cells = reserve((SERIES_INDEX_MAX + 1ul) * sizeof(*registry->cells));
    registry->metas = reserve((SERIES_INDEX_MAX + 1ul) * sizeof(*registry->metas));
    registry->starts = reserve((SERIES_INDEX_MAX + 1ul) * sizeof(*registry->starts));
    registry->groups = reserve((SERIES_GROUPS_MAX + 1ul) * sizeof(*registry->groups));
    registry->families = reserve((SERIES_FAMILIES_MAX + 1ul) * sizeof(*registry->families));
    if (!registry->cells || !registry->metas || !registry->starts || !registry->groups || !registry->families) {
        series_registry_free(registry);
        return NULL;
    }
    return registry;
}

void series_registry_limit(struct series_registry *registry, uint32_t max_series)
{
    pthread_mutex_lock(&registry->lock);
    registry->max_series = max_series < SERIES_INDEX_MAX / 2 ? max_series : SERIES_INDEX_MAX / 2;
    pthread_mutex_unlock(&registry->lock);
}

/* True if it was the last one. */
static bool kind_leave(struct series_group *group)
{
    struct series_group **link = &group->kind->first;

    while (*link != group)
        link = &(*link)->next_of_kind;
    *link = group->next_of_kind;
    return !group->kind->first;
}

void series_registry_free(struct series_registry *registry)
{
    if (!registry)
        return;
    for (uint32_t i = 1; i <= registry->ngroups; i++) {
        struct series_group *group = atomic_load(&registry->groups[i]);

        for (struct series_extent *extent = atomic_load(&group->extents.next), *next; extent; extent = next) {
            next = atomic_load(&extent->next);
            free(extent);
        }
        if (group->name && kind_leave(group))
            free(group->kind);
        free(group->name);
        free(group->dying);
        free(group);
    }
    for (uint32_t i = 1; i <= registry->nfamilies; i++)
        free(registry->families[i]);
    for (uint32_t i = 1; i <= registry->nlabelsets; i++)
        free(registry->labelsets[i]);
    unreserve(registry->families, (SERIES_FAMILIES_MAX + 1ul) * sizeof(*registry->families));
    free(registry->labelsets);
    free(registry->free_labelsets);
    free(registry->by_name.entries);
    free(registry->by_labels.entries);
    free(registry->by_identity.entries);
    free(registry->by_group.entries);
    unreserve(registry->cells, (SERIES_INDEX_MAX + 1ul) * sizeof(*registry->cells));
    unreserve(registry->metas, (SERIES_INDEX_MAX + 1ul) * sizeof(*registry->metas));
    unreserve(registry->starts, (SERIES_INDEX_MAX + 1ul) * sizeof(*registry->starts));
    unreserve(registry->groups, (SERIES_GROUPS_MAX + 1ul) * sizeof(*registry->groups));
    pthread_mutex_destroy(&registry->names_lock);
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

void series_registry_stats(struct series_registry *registry, struct series_stats *stats)
{
    series_names_lock(registry);
    pthread_mutex_lock(&registry->lock);
    stats->series = registry->count;
    stats->families = registry->nfamilies;
    stats->labelsets = registry->by_labels.live;
    stats->groups = registry->ngroups;
    stats->bytes = (uint64_t)registry->next_index * (sizeof(struct series_cell) + sizeof(struct series_meta)) +
                   registry->labelset_bytes + registry->nfamilies * sizeof(struct series_family) +
                   registry->ngroups * sizeof(struct series_group) +
                   ((uint64_t)registry->by_name.size + registry->by_group.size + registry->by_labels.size +
                    registry->by_identity.size) * sizeof(uint32_t);
    pthread_mutex_unlock(&registry->lock);
    series_names_unlock(registry);
}

struct series_cell *series_cells(struct series_registry *registry)
{
    return registry->cells;
}

_Atomic int64_t *series_starts(struct series_registry *registry)
{
    return registry->starts;
}

/* ---- Families --------------------------------------------------------------------------------------------------- */

static uint64_t family_hash(const struct series_registry *registry, uint32_t id)
{
    const char *name = registry->families[id]->name;

    return XXH3_64bits_withSeed(name, strlen(name), registry->seed);
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), n = strlen(end);

    return length > n && strcmp(text + length - n, end) == 0;
}

/* What its series are, by its kind and name.  False: it is no part of a histogram. */
static bool family_flags(struct series_family *family)
{
    const bool bucket = ends_with(family->name, "_bucket"), sum = ends_with(family->name, "_sum"),
               count = ends_with(family->name, "_count");

    family->flags = 0;
    family->has_le = family->kind == WEIR_HISTOGRAM && bucket;
    family->has_quantile = family->kind == WEIR_SUMMARY && !sum && !count;
    if (family->kind == WEIR_COUNTER || family->kind == WEIR_HISTOGRAM || (family->kind == WEIR_SUMMARY && count))
        family->flags |= SERIES_IS_COUNTER;
    if (family->kind == WEIR_COUNTER || family->has_le)
        family->flags |= SERIES_HAS_EXEMPLARS;
    return family->kind != WEIR_HISTOGRAM || bucket || sum || count;
}

static struct series_family *family_copy(const struct weir_family *family)
{
    size_t name = strlen(family->name) + 1, unit = family->unit ? strlen(family->unit) + 1 : 0;
    const char *help = family->help ? family->help : "";
    size_t help_room = strlen(help) * 4 < SERIES_VALUE_MAX ? strlen(help) * 4 : SERIES_VALUE_MAX;
    struct series_family *copy = malloc(sizeof(*copy) + name + unit + help_room + 1);
    char *text;

    if (!copy)
        return NULL;
    text = (char *)(copy + 1);
    copy->kind = family->kind;
    copy->name = memcpy(text, family->name, name);
    copy->unit = unit ? memcpy(text + name, family->unit, unit) : NULL;
    copy->help = text + name + unit;
    text[name + unit + text_clean(text + name + unit, help_room, help)] = '\0';
    (void)family_flags(copy);
    return copy;
}

static const struct series_family *family_find(const struct series_registry *registry, const char *name)
{
    const uint64_t hash = XXH3_64bits_withSeed(name, strlen(name), registry->seed);

    for (uint32_t at = (uint32_t)hash; registry->by_name.size; at++) {
        uint32_t found = registry->by_name.entries[at & (registry->by_name.size - 1)];

        if (!found)
            break;
        if (strcmp(registry->families[found]->name, name) == 0)
            return registry->families[found];
    }
    return NULL;
}

static bool in_parts(uint32_t kind)
{
    return kind == WEIR_HISTOGRAM || kind == WEIR_SUMMARY;
}

/* One of another kind that has the name of the histogram or summary that this one is a part of; or the reverse. */
static const struct series_family *family_rival(const struct series_registry *registry, const struct weir_family *family)
{
    static const char *const ends[] = {"_bucket", "_sum", "_count"};
    const size_t length = strlen(family->name);
    const struct series_family *other;
    char name[SERIES_NAME_MAX + sizeof("_bucket")];

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        snprintf(name, sizeof(name), "%s%s", family->name, ends[i]);
        other = family_find(registry, name);
        if (other && in_parts(other->kind) && other->kind != family->kind)
            return other;
        if (!in_parts(family->kind) || !ends_with(family->name, ends[i]))
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)(length - strlen(ends[i])), family->name);
        other = family_find(registry, name);
        if (other && other->kind != family->kind)
            return other;
    }
    return NULL;
}

int series_family(struct series_registry *registry, const struct weir_family *family, uint32_t *id, char *why,
                  size_t why_size)
{
    const struct series_family *known;
    int status = WEIR_OK;

    *id = 0;
    if (!name_valid(family->name, true) || (family->unit && !name_valid(family->unit, false))) {
        say(why, why_size, "family \"%s\": the name or unit is not made of [a-zA-Z0-9_], or longer than %u bytes",
            family->name ? family->name : "", SERIES_NAME_MAX);
        return WEIR_EINVAL;
    }
    if (family->kind > WEIR_SUMMARY) {
        say(why, why_size, "family \"%s\": kind %u is not known", family->name, family->kind);
        return WEIR_EINVAL;
    }
    if (!family_flags(&(struct series_family){.kind = family->kind, .name = family->name})) {
        say(why, why_size, "family \"%s\": a histogram's families end in _bucket, _sum and _count", family->name);
        return WEIR_EINVAL;
    }
    pthread_mutex_lock(&registry->lock);
    known = family_find(registry, family->name);
    if (known && (known->kind != family->kind || strcmp(known->unit ? known->unit : "", family->unit ? family->unit : ""))) {
        say(why, why_size, "family \"%s\" exists with another kind or unit", family->name);
        status = WEIR_EINVAL;
        goto out;
    }
    if (known) {
        *id = known->id;
        goto out;
    }
    known = family_rival(registry, family);
    if (known) {
        say(why, why_size, "family \"%s\": there is \"%s\", and on a page they would be one, of two kinds", family->name, known->name);
        status = WEIR_EINVAL;
        goto out;
    }
    if (registry->nfamilies == SERIES_FAMILIES_MAX) {
        say(why, why_size, "family \"%s\": there are %u families already", family->name, SERIES_FAMILIES_MAX);
        status = WEIR_ELIMIT;
        goto out;
    }
    status = WEIR_ENOMEM;
    say(why, why_size, "no memory for family \"%s\"", family->name);
    if (table_reserve(registry, &registry->by_name, family_hash) < 0)
        goto out;
    registry->families[registry->nfamilies + 1] = family_copy(family);
    if (!registry->families[registry->nfamilies + 1])
        goto out;
    *id = ++registry->nfamilies;
    registry->families[*id]->id = *id;
    table_add(&registry->by_name, family_hash(registry, *id), *id);
    status = WEIR_OK;
out:
    pthread_mutex_unlock(&registry->lock);
    return status;
}

/* ---- Groups ----------------------------------------------------------------------------------------------------- */

struct series_group *series_group_get(struct series_registry *registry, uint32_t id)
{
    return id <= SERIES_GROUPS_MAX ? atomic_load_explicit(&registry->groups[id], memory_order_acquire) : NULL;
}

static uint64_t group_hash(const struct series_registry *registry, uint32_t id)
{
    const struct series_group *group = atomic_load_explicit(&registry->groups[id], memory_order_relaxed);

    return XXH3_64bits_withSeed(group->name, strlen(group->name), registry->seed ^ group->source);
}

/* Below all is under the names' lock.  The instance's group of this name, or NULL. */
static struct series_group *group_find(const struct series_registry *registry, const struct series_groups *all, uint64_t hash,
                                       const char *name)
{
    for (uint32_t at = (uint32_t)hash; registry->by_group.size; at++) {
        uint32_t id = registry->by_group.entries[at & (registry->by_group.size - 1)];
        struct series_group *group;

        if (!id)
            break;
        if (id == TABLE_GONE)
            continue;
        group = atomic_load_explicit(&registry->groups[id], memory_order_relaxed);
        if (group->all == all && strcmp(group->name, name) == 0)
            return group;
    }
    return NULL;
}

/* The instance's kind of this name, found or made.  NULL: no memory. */
static struct series_kind *kind_get(struct series_registry *registry, struct series_groups *all, const char *name)
{
    struct series_kind **link = &all->kinds;
    size_t size = strlen(name) + 1;

    while (*link && strcmp((*link)->name, name) != 0)
        link = &(*link)->next;
    if (*link || !(*link = calloc(1, sizeof(**link) + size)))
        return *link;
    memcpy((*link)->name, name, size);
    (*link)->serial = ++registry->kinds_made;
    return *link;
}

static void kind_drop(struct series_groups *all, struct series_kind *kind)
{
    struct series_kind **link = &all->kinds;

    while (*link != kind)
        link = &(*link)->next;
    *link = kind->next;
    free(kind);
}

/* A new one without a name, behind the others.  NULL: no memory. */
static struct series_group *group_make(struct series_registry *registry, struct series_groups *all, uint32_t source,
                                       const char *source_name)
{
    struct series_group *group = calloc(1, sizeof(*group));

    if (!group)
        return NULL;
    group->source = source;
    group->source_name = source_name;
    group->all = all;
    group->last_extent = &group->extents;
    group->ended = true;
    group->id = ++registry->ngroups;
    atomic_store_explicit(&registry->groups[group->id], group, memory_order_release);
    atomic_store_explicit(all->last ? &all->last->sibling : &all->first, group, memory_order_release);
    all->last = group;
    return group;
}

/* One without a name gets this one. */
static int group_name(struct series_registry *registry, struct series_group *group, const char *name, const char *kind_name)
{
    struct series_kind *kind;

    if (table_reserve(registry, &registry->by_group, group_hash) < 0 || !(group->name = strdup(name)))
        return WEIR_ENOMEM;
    kind = kind_get(registry, group->all, kind_name);
    if (!kind) {
        free(group->name);
        group->name = NULL;
        return WEIR_ENOMEM;
    }
    group->kind = kind;
    group->next_of_kind = kind->first;
    kind->first = group;
    atomic_fetch_add_explicit(&group->all->count, 1, memory_order_relaxed);
    table_add(&registry->by_group, group_hash(registry, group->id), group->id);
    return WEIR_OK;
}

static void free_append(struct series_groups *all, struct series_group *group)
{
    group->next_free = NULL;
    *(all->free ? &all->last_free->next_free : &all->free) = group;
    all->last_free = group;
}

int series_group_new(struct series_registry *registry, struct series_groups *all, uint32_t source, const char *source_name,
                     const char *name, const char *kind, uint32_t bit, struct series_group **out, char *why, size_t why_size)
{
    uint64_t hash = XXH3_64bits_withSeed(name, strlen(name), registry->seed ^ source);
    struct series_group *group;
    int status = WEIR_OK;

    series_names_lock(registry);
    group = group_find(registry, all, hash, name);
    if (!group && !all->free && registry->ngroups == SERIES_GROUPS_MAX) {
        say(why, why_size, "group \"%s\": there are %u groups already", name, SERIES_GROUPS_MAX);
        status = WEIR_ELIMIT;
    } else if (!group) {
        if (!all->free && (group = group_make(registry, all, source, source_name)))
            free_append(all, group);
        group = all->free;
        status = group ? group_name(registry, group, name, kind) : WEIR_ENOMEM;
        if (status == WEIR_OK)
            all->free = group->next_free;
        else
            say(why, why_size, "no memory for group \"%s\"", name);
    }
    if (status == WEIR_OK && atomic_fetch_or_explicit(&group->holders, bit, memory_order_acq_rel) & bit) {
        say(why, why_size, "group \"%s\" exists already", name);
        status = WEIR_EINVAL;
    }
    /* One that begins again, or goes over to another object, goes on with its numbers. */
    if (status == WEIR_OK)
        group->ended = false;
    series_names_unlock(registry);
    *out = group;
    return status;
}

void series_names_lock(struct series_registry *registry)
{
    pthread_mutex_lock(&registry->names_lock);
}

void series_names_unlock(struct series_registry *registry)
{
    pthread_mutex_unlock(&registry->names_lock);
}

void series_group_bury(struct series_registry *registry, struct series_group *group)
{
    series_names_lock(registry);
    group->graves++;
    group->ended = true;
    series_names_unlock(registry);
}

static uint64_t take(_Atomic uint64_t *counter)
{
    return atomic_exchange_explicit(counter, 0, memory_order_relaxed);
}

/* Its counts go over to its kind. */
static void group_reset(struct series_group *group)
{
    struct series_kind *kind = group->kind;

    kind->passes_ok += take(&group->passes_ok);
    kind->passes_kept += take(&group->passes_kept);
    kind->passes_failed += take(&group->passes_failed);
    kind->missed += take(&group->missed);
    kind->overruns += take(&group->overruns);
    kind->collect_ns_sum += take(&group->collect_ns_sum);
    (void)take(&group->collect_ns_last);
    (void)take(&group->late_ns_last);
    (void)take(&group->late_ns_max);
    (void)take(&group->success_ns);
    atomic_store_explicit(&group->kept, false, memory_order_relaxed);
    group->live = 0;
    /* No pass yet.  `turn` goes on, so that a reader of a snapshot sees that this is another. */
    atomic_store_explicit(&group->committed, 0, memory_order_release);
}

void series_group_reuse(struct series_registry *registry, struct series_group *group)
{
    series_names_lock(registry);
    if (--group->graves == 0 && group->ended) {
        table_remove(&registry->by_group, group_hash(registry, group->id), group->id);
        group_reset(group);
        if (kind_leave(group))
            kind_drop(group->all, group->kind);
        free(group->name);
        group->name = NULL;
        group->kind = NULL;
        atomic_fetch_sub_explicit(&group->all->count, 1, memory_order_relaxed);
        free_append(group->all, group);
    }
    series_names_unlock(registry);
}

/* ---- Label sets ------------------------------------------------------------------------------------------------- */

static uint64_t labelset_hash(const struct series_registry *registry, uint32_t id)
{
    return registry->labelsets[id]->hash;
}

static int label_compare(const void *a, const void *b)
{
    return strcmp(((const struct weir_label *)a)->name, ((const struct weir_label *)b)->name);
}

/* Collects, checks and sorts labels without those of empty value; a section's label yields to the series' own. */
static int labels_merge(const struct weir_label *labels, size_t nlabels, const struct weir_label *extra, size_t nextra,
                        struct weir_label *merged, size_t *count, char *why, size_t why_size)
{
    size_t n = 0;

    for (size_t i = 0; i < nlabels + nextra; i++) {
        const struct weir_label *label = i < nlabels ? &labels[i] : &extra[i - nlabels];
        size_t known = 0;

        if (!name_valid(label->name, false) || strncmp(label->name, "__", 2) == 0) {
            say(why, why_size, "label \"%s\": the name is not made of [a-zA-Z0-9_], or begins with two underscores",
                label->name ? label->name : "");
            return WEIR_EINVAL;
        }
        while (known < n && strcmp(merged[known].name, label->name) != 0)
            known++;
        if (known < n) {
            if (i >= nlabels)
                continue;
            say(why, why_size, "label \"%s\" is given twice", label->name);
            return WEIR_EINVAL;
        }
        if (!label->value || !*label->value)
            continue;
        if (n == SERIES_LABELS_MAX) {
            say(why, why_size, "more than %u labels", SERIES_LABELS_MAX);
            return WEIR_EINVAL;
        }
        merged[n++] = *label;
    }
    qsort(merged, n, sizeof(*merged), label_compare);
    *count = n;
    return WEIR_OK;
}

/* The text of a label set: name NUL value NUL, for each.  Returns a label set that is not yet known, or NULL. */
static struct series_labelset *labelset_new(const struct series_registry *registry, const struct weir_label *labels,
                                            size_t count)
{
    struct series_labelset *set;
    size_t room = 0, n = 0;
    char *text;

    for (size_t i = 0; i < count; i++) {
        size_t value = strlen(labels[i].value) * 4;

        room += strlen(labels[i].name) + 2 + (value < SERIES_VALUE_MAX ? value : SERIES_VALUE_MAX);
    }
    set = malloc(sizeof(*set) + count * sizeof(*labels) + room);
    if (!set)
        return NULL;
    text = (char *)&set->labels[count];
    for (size_t i = 0; i < count; i++) {
        size_t name = strlen(labels[i].name) + 1;

        set->labels[i].name = memcpy(text + n, labels[i].name, name);
        n += name;
        set->labels[i].value = text + n;
        n += text_clean(text + n, SERIES_VALUE_MAX, labels[i].value);
        text[n++] = '\0';
    }
    set->id = 0;
    set->users = 0;
    set->count = (uint32_t)count;
    set->bytes = (uint32_t)n;
    set->hash = XXH3_64bits_withSeed(text, n, registry->seed);
    return set;
}

static const char *labelset_text(const struct series_labelset *set)
{
    return (const char *)&set->labels[set->count];
}

/* Room for one more label set, and for the id of each among the free ones. */
static int labelsets_reserve(struct series_registry *registry)
{
    uint32_t room = registry->labelsets_room ? registry->labelsets_room * 2 : 64;
    struct series_labelset **larger;
    uint32_t *ids;

    if (registry->nfree_labelsets || registry->nlabelsets + 1 < registry->labelsets_room)
        return WEIR_OK;
    ids = realloc(registry->free_labelsets, room * sizeof(*ids));
    if (!ids)
        return WEIR_ENOMEM;
    registry->free_labelsets = ids;
    larger = realloc(registry->labelsets, room * sizeof(*larger));
    if (!larger)
        return WEIR_ENOMEM;
    registry->labelsets = larger;
    registry->labelsets_room = room;
    return WEIR_OK;
}

/* Under the lock: the known label set equal to *fresh, or *fresh itself, taken over.  NULL: no memory. */
static struct series_labelset *labelset_intern(struct series_registry *registry, struct series_labelset **fresh)
{
    struct series_labelset *set = *fresh, *trimmed;
    size_t bytes = sizeof(*set) + set->count * sizeof(set->labels[0]) + set->bytes;
    uint32_t id;

    for (uint32_t at = (uint32_t)set->hash; registry->by_labels.size; at++) {
        uint32_t found = registry->by_labels.entries[at & (registry->by_labels.size - 1)];
        struct series_labelset *known;

        if (!found)
            break;
        if (found == TABLE_GONE)
            continue;
        known = registry->labelsets[found];
        if (known->hash == set->hash && known->bytes == set->bytes && known->count == set->count &&
            memcmp(labelset_text(known), labelset_text(set), set->bytes) == 0)
            return known;
    }
    if (table_reserve(registry, &registry->by_labels, labelset_hash) < 0)
        return NULL;
    if (labelsets_reserve(registry) < 0)
        return NULL;
    /* The room for text was an upper bound; give the rest back.  Text moves with the struct, so labels are moved too. */
    trimmed = malloc(bytes);
    if (!trimmed)
        return NULL;
    memcpy(trimmed, set, bytes);
    for (uint32_t i = 0; i < set->count; i++) {
        trimmed->labels[i].name = (char *)trimmed + (set->labels[i].name - (char *)set);
        trimmed->labels[i].value = (char *)trimmed + (set->labels[i].value - (char *)set);
    }
    id = registry->nfree_labelsets ? registry->free_labelsets[--registry->nfree_labelsets] : ++registry->nlabelsets;
    trimmed->id = id;
    registry->labelsets[id] = trimmed;
    registry->labelset_bytes += bytes;
    table_add(&registry->by_labels, trimmed->hash, id);
    return trimmed;
}

static void labelset_unuse(struct series_registry *registry, struct series_labelset *set)
{
    if (--set->users)
        return;
    table_remove(&registry->by_labels, set->hash, set->id);
    registry->labelset_bytes -= sizeof(*set) + set->count * sizeof(set->labels[0]) + set->bytes;
    registry->labelsets[set->id] = NULL;
    registry->free_labelsets[registry->nfree_labelsets++] = set->id;
    free(set);
}

/* ---- Series ----------------------------------------------------------------------------------------------------- */

static uint64_t identity_mix(uint32_t family, uint32_t labelset)
{
    uint64_t x = ((uint64_t)labelset << 32 | family) * 0x9e3779b97f4a7c15u;

    return x ^ x >> 29;
}

static uint64_t identity_hash(const struct series_registry *registry, uint32_t index)
{
    return identity_mix(registry->metas[index].family, registry->metas[index].labelset);
}

static uint32_t identity_find(const struct series_registry *registry, uint32_t family, const struct series_labelset *set)
{
    if (!registry->by_identity.size)
        return 0;
    for (uint32_t at = (uint32_t)identity_mix(family, set->id);; at++) {
        uint32_t index = registry->by_identity.entries[at & (registry->by_identity.size - 1)];

        if (!index)
            return 0;
        if (index != TABLE_GONE && registry->metas[index].family == family && registry->metas[index].labelset == set->id)
            return index;
    }
}

/* An index for a new series of the group: a used one, or the next of its last extent, or of a new extent. */
static uint32_t index_take(struct series_registry *registry, struct series_group *group)
{
    struct series_extent *extent = group->last_extent;
    uint32_t index = group->free_index, had;

    if (index) {
        group->free_index = registry->metas[index].labelset;
        return index;
    }
    had = atomic_load_explicit(&extent->count, memory_order_relaxed);
    if (group->used == had) {
        uint32_t count = had ? had * 2 : EXTENT_FIRST;

        if (count > EXTENT_LAST)
            count = EXTENT_LAST;
        if (count > SERIES_INDEX_MAX - registry->next_index)
            return 0;
        if (had) {
            struct series_extent *more = calloc(1, sizeof(*more));

            if (!more)
                return 0;
            more->first = registry->next_index;
            atomic_store_explicit(&more->count, count, memory_order_relaxed);
            atomic_store_explicit(&extent->next, more, memory_order_release);
            group->last_extent = extent = more;
        } else {
            extent->first = registry->next_index;
            atomic_store_explicit(&extent->count, count, memory_order_release);
        }
        registry->next_index += count;
        group->used = 0;
    }
    return extent->first + group->used++;
}

/* Under the lock: the series of (family, set) in the group, found or made. */
static int series_make_one(struct series_registry *registry, struct series_group *group, uint32_t family,
                           struct series_labelset *set, uint64_t *room, bool draft, uint32_t *handle, char *why,
                           size_t why_size)
{
    uint32_t index = identity_find(registry, family, set), generation;
    struct series_cell *cell = &registry->cells[index];

    if (index && cell->group == group->id) {
        /* Released and made again before anyone was told: it lives on. */
        if (draft)
            cell->flags |= cell->flags & SERIES_DYING ? SERIES_CLAIMED | SERIES_FRESH : SERIES_CLAIMED;
        cell->flags &= (uint16_t)~SERIES_DYING;
        *handle = atomic_load_explicit(&cell->handle, memory_order_relaxed);
        return WEIR_OK;
    }
    if (index) {
        const struct series_group *other = series_group_get(registry, cell->group);

        say(why, why_size,
            "series %s{...} exists already in instance \"%s\", group \"%s\"; give one of the sections a label of its own, "
            "for example labels = { \"instance=%s\" }",
            registry->families[family]->name, other->source_name, other->name, group->source_name);
        return WEIR_EINVAL;
    }
    if (!*room || registry->count >= registry->max_series) {
        /* The section's limit is the caller's. */
        if (!*room)
            say(why, why_size, "series %s{...} is over max_series of its section", registry->families[family]->name);
        else
            say(why, why_size, "series %s{...} is over max_series = %u of all instances together", registry->families[family]->name,
                registry->max_series);
        return WEIR_ELIMIT;
    }
    if (table_reserve(registry, &registry->by_identity, identity_hash) < 0 || !(index = index_take(registry, group))) {
        say(why, why_size, "no memory or index for series %s{...}", registry->families[family]->name);
        return WEIR_ENOMEM;
    }
    cell = &registry->cells[index];
    registry->metas[index].family = (uint16_t)family;
    registry->metas[index].labelset = set->id;
    set->users++;
    table_add(&registry->by_identity, identity_mix(family, set->id), index);
    /* Even a look would take memory for the start times of series that have none. */
    if (cell->flags & SERIES_HAS_START)
        atomic_store_explicit(&registry->starts[index], 0, memory_order_relaxed);
    cell->group = (uint16_t)group->id;
    cell->flags = registry->families[family]->flags;
    if (draft)
        cell->flags |= SERIES_CLAIMED | SERIES_FRESH;
    atomic_store_explicit(&cell->mark[0], 0, memory_order_relaxed);
    atomic_store_explicit(&cell->mark[1], 0, memory_order_relaxed);
    /* The generation of a free cell waits in bits[0]. */
    generation = (uint32_t)atomic_load_explicit(&cell->bits[0], memory_order_relaxed) & 0xffu;
    *handle = generation << SERIES_INDEX_BITS | index;
    atomic_store_explicit(&cell->handle, *handle, memory_order_release);
    registry->count++;
    --*room;
    return WEIR_OK;
}

/* Writes the number of the label `name` in its canonical form into `text`. */
static int bound_set(struct weir_label *labels, size_t count, const char *name, const char *family, char *text, size_t room,
                     char *why, size_t why_size)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(labels[i].name, name) != 0)
            continue;
        if (!bound_canonical(text, room, labels[i].value))
            break;
        labels[i].value = text;
        return WEIR_OK;
    }
    say(why, why_size, "family \"%s\": its series have a label \"%s\", which is a number", family, name);
    return WEIR_EINVAL;
}

#define BOUND_MAX 40u
/* The labels that the families ask for, by their kind. */
static int bounds_set(struct series_registry *registry, const uint32_t *families, size_t nfamilies, struct weir_label *labels,
                      size_t count, char bounds[2][BOUND_MAX], char *why, size_t why_size)
{
    int status = WEIR_OK;

    pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < nfamilies && status == WEIR_OK; i++) {
        const struct series_family *family = families[i] <= registry->nfamilies ? registry->families[families[i]] : NULL;

        if (family && family->has_le)
            status = bound_set(labels, count, "le", family->name, bounds[0], BOUND_MAX, why, why_size);
        else if (family && family->has_quantile)
            status = bound_set(labels, count, "quantile", family->name, bounds[1], BOUND_MAX, why, why_size);
    }
    pthread_mutex_unlock(&registry->lock);
    return status;
}

int series_make(struct series_registry *registry, struct series_group *group, const struct weir_label *labels,
                size_t nlabels, const uint32_t *families, size_t nfamilies, const struct series_request *request,
                uint32_t *handles, char *why, size_t why_size)
{
    struct weir_label merged[SERIES_LABELS_MAX];
    char bounds[2][BOUND_MAX];
    struct series_labelset *fresh, *set;
    size_t count;
    uint64_t room = request->room;
    int status = labels_merge(labels, nlabels, request->extra, request->nextra, merged, &count, why, why_size);

    for (size_t i = 0; i < nfamilies; i++)
        handles[i] = WEIR_NO_SERIES;
    if (status == WEIR_OK)
        status = bounds_set(registry, families, nfamilies, merged, count, bounds, why, why_size);
    if (status < 0)
        return status;
    fresh = labelset_new(registry, merged, count);
    if (!fresh) {
        say(why, why_size, "no memory for a label set");
        return WEIR_ENOMEM;
    }
    pthread_mutex_lock(&registry->lock);
    set = labelset_intern(registry, &fresh);
    if (!set) {
        say(why, why_size, "no memory for a label set");
        status = WEIR_ENOMEM;
        goto out;
    }
    set->users++; /* ours, while series are made */
    for (size_t i = 0; i < nfamilies; i++) {
        int one;

        if (families[i] == 0 || families[i] > registry->nfamilies) {
            say(why, why_size, "family %u does not exist", families[i]);
            one = WEIR_EINVAL;
        } else {
            one = series_make_one(registry, group, families[i], set, &room, request->draft, &handles[i], why, why_size);
        }
        if (one < 0 && status == WEIR_OK)
            status = one;
    }
    labelset_unuse(registry, set);
out:
    pthread_mutex_unlock(&registry->lock);
    free(fresh);
    atomic_fetch_add_explicit(&group->series, request->room - room, memory_order_relaxed);
    atomic_fetch_add_explicit(&group->all->series, request->room - room, memory_order_relaxed);
    return status;
}

static int dying_add(struct series_group *group, struct series_cell *cell, uint32_t index)
{
    if (cell->flags & SERIES_BURIED)
        return WEIR_ESTALE;
    if (cell->flags & SERIES_DYING)
        return WEIR_OK;
    if (group->dying_count == group->dying_room) {
        uint32_t room = group->dying_room ? group->dying_room * 2 : 64;
        uint32_t *larger = realloc(group->dying, room * sizeof(*larger));

        if (!larger)
            return WEIR_ENOMEM;
        group->dying = larger;
        group->dying_room = room;
    }
    cell->flags |= SERIES_DYING;
    group->dying[group->dying_count++] = index;
    atomic_fetch_add_explicit(&group->all->ending, 1, memory_order_relaxed);
    return WEIR_OK;
}

int series_release(struct series_registry *registry, struct series_group *group, const uint32_t *handles, size_t count,
                   bool draft)
{
    int status = WEIR_OK;

    for (size_t i = 0; i < count; i++) {
        uint32_t index = handles[i] & SERIES_INDEX_MAX;
        struct series_cell *cell = &registry->cells[index];
        int one = WEIR_ESTALE;

        if (handles[i] == WEIR_NO_SERIES)
            continue;
        if (atomic_load_explicit(&cell->handle, memory_order_acquire) == handles[i] && cell->group == group->id) {
            if (draft)
                one = WEIR_OK;
            else
                one = dying_add(group, cell, index);
            cell->flags &= (uint16_t)~SERIES_CLAIMED;
        }
        if (one < 0)
            status = one;
    }
    return status;
}

/* Calls for every series of the group. */
static int group_walk(struct series_registry *registry, struct series_group *group,
                      int (*visit)(struct series_group *group, struct series_cell *cell, uint32_t index, unsigned turns),
                      unsigned turns)
{
    int count = 0;

    for (struct series_extent *extent = &group->extents; extent;
         extent = atomic_load_explicit(&extent->next, memory_order_relaxed)) {
        uint32_t used = extent == group->last_extent ? group->used
                                                     : atomic_load_explicit(&extent->count, memory_order_relaxed);

        for (uint32_t index = extent->first; index < extent->first + used; index++) {
            struct series_cell *cell = &registry->cells[index];

            if (atomic_load_explicit(&cell->handle, memory_order_relaxed)) {
                int one = visit(group, cell, index, turns);

                if (one < 0)
                    return one;
                count += one;
            }
        }
    }
    return count;
}

static int sweep_one(struct series_group *group, struct series_cell *cell, uint32_t index, unsigned turns)
{
    uint32_t a = atomic_load_explicit(&cell->mark[0], memory_order_relaxed) & SERIES_TURN_MASK;
    uint32_t b = atomic_load_explicit(&cell->mark[1], memory_order_relaxed) & SERIES_TURN_MASK;
    int status;

    if ((cell->flags & (SERIES_DYING | SERIES_BURIED)) || group->turn - (a > b ? a : b) < turns)
        return 0;
    status = dying_add(group, cell, index);
    return status < 0 ? status : 1;
}

int series_sweep(struct series_registry *registry, struct series_group *group, unsigned passes)
{
    return group_walk(registry, group, sweep_one, passes);
}

int series_release_all(struct series_registry *registry, struct series_group *group)
{
    return group_walk(registry, group, sweep_one, 0);
}

static int draft_end_one(struct series_group *group, struct series_cell *cell, uint32_t index, unsigned adopted)
{
    bool unwanted = adopted ? !(cell->flags & SERIES_CLAIMED) : (cell->flags & SERIES_FRESH) != 0;
    int status;

    cell->flags &= (uint16_t)~(SERIES_CLAIMED | SERIES_FRESH);
    if (!unwanted || cell->flags & SERIES_BURIED)
        return 0;
    status = dying_add(group, cell, index);
    return status < 0 ? status : 1;
}

int series_draft_end(struct series_registry *registry, struct series_group *group, bool adopted)
{
    return group_walk(registry, group, draft_end_one, adopted);
}

void series_bury(struct series_registry *registry, struct series_group *group, uint32_t index)
{
    struct series_meta *meta = &registry->metas[index];

    pthread_mutex_lock(&registry->lock);
    table_remove(&registry->by_identity, identity_mix(meta->family, meta->labelset), index);
    pthread_mutex_unlock(&registry->lock);
    atomic_fetch_sub_explicit(&group->series, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&group->all->series, 1, memory_order_relaxed);
}

void series_reuse(struct series_registry *registry, uint32_t index)
{
    struct series_cell *cell = &registry->cells[index];
    struct series_meta *meta = &registry->metas[index];
    struct series_group *group = series_group_get(registry, cell->group);
    uint32_t handle = atomic_load_explicit(&cell->handle, memory_order_relaxed);

    /* Release: a reader that sees any of this in a snapshot also sees that a later pass was committed. */
    atomic_store_explicit(&cell->handle, 0, memory_order_release);
    atomic_store_explicit(&cell->mark[0], 0, memory_order_release);
    atomic_store_explicit(&cell->mark[1], 0, memory_order_release);
    atomic_store_explicit(&cell->bits[0], (handle >> SERIES_INDEX_BITS) + 1u, memory_order_release);
    pthread_mutex_lock(&registry->lock);
    labelset_unuse(registry, registry->labelsets[meta->labelset]);
    registry->count--;
    pthread_mutex_unlock(&registry->lock);
    meta->labelset = group->free_index;
    group->free_index = index;
}

int series_info(struct series_registry *registry, uint32_t handle, struct weir_series_info *info)
{
    uint32_t index = handle & SERIES_INDEX_MAX;
    const struct series_meta *meta = &registry->metas[index];
    struct weir_series_info full = {.size = sizeof(full)};
    const struct series_family *family;
    const struct series_labelset *set;
    const struct series_group *group;
    uint32_t size = info->size < sizeof(full) ? info->size : (uint32_t)sizeof(full);

    if (!handle || atomic_load_explicit(&registry->cells[index].handle, memory_order_acquire) != handle)
        return WEIR_ESTALE;
    group = series_group_get(registry, registry->cells[index].group);
    family = registry->families[meta->family];
    full.kind = family->kind;
    full.family = family->id;
    full.name = family->name;
    full.unit = family->unit;
    full.help = family->help;
    full.labelset = meta->labelset;
    /* The table of label sets may move while others make series. */
    pthread_mutex_lock(&registry->lock);
    set = registry->labelsets[meta->labelset];
    pthread_mutex_unlock(&registry->lock);
    full.labels = set->labels;
    full.nlabels = set->count;
    full.group = group->id;
    full.source = group->source;
    memcpy(info, &full, size);
    info->size = size;
    return WEIR_OK;
}

/* ---- Exemplars ---- */

uint32_t series_exemplar_labels(struct series_registry *registry, const struct weir_label *labels, size_t nlabels)
{
    struct weir_label sorted[SERIES_LABELS_MAX];
    struct series_labelset *fresh = NULL, *set = NULL;
    size_t count, characters = 0;
    char why[1];

    if (labels_merge(labels, nlabels, NULL, 0, sorted, &count, why, sizeof(why)) == WEIR_OK)
        fresh = labelset_new(registry, sorted, count);
    for (size_t i = 0; fresh && i < count; i++)
        characters += text_characters(fresh->labels[i].name) + text_characters(fresh->labels[i].value);
    if (fresh && characters <= WEIR_EXEMPLAR_CHARACTERS) {
        pthread_mutex_lock(&registry->lock);
        set = labelset_intern(registry, &fresh);
        if (set)
            set->users++;
        pthread_mutex_unlock(&registry->lock);
    }
    free(fresh);
    return set ? set->id : 0;
}

int series_exemplar_labels_get(struct series_registry *registry, uint32_t id, const struct weir_label **labels, size_t *nlabels)
{
    const struct series_labelset *set;

    pthread_mutex_lock(&registry->lock);
    set = id <= registry->nlabelsets ? registry->labelsets[id] : NULL;
    pthread_mutex_unlock(&registry->lock);
    *labels = set ? set->labels : NULL;
    *nlabels = set ? set->count : 0;
    return set ? WEIR_OK : WEIR_ESTALE;
}

void series_exemplar_labels_leave(struct series_registry *registry, uint32_t id)
{
    pthread_mutex_lock(&registry->lock);
    labelset_unuse(registry, registry->labelsets[id]);
    pthread_mutex_unlock(&registry->lock);
}

/* ---- Current values --------------------------------------------------------------------------------------------- */

static int snapshot_room(struct weir_sample **samples, size_t *room, size_t need)
{
    struct weir_sample *larger;

    if (need <= *room)
        return WEIR_OK;
    larger = realloc(*samples, need * sizeof(*larger));
    if (!larger)
        return WEIR_ENOMEM;
    *samples = larger;
    *room = need;
    return WEIR_OK;
}

/* One half of one group; what it copies is valid only if `committed` is the same afterwards. */
static size_t snapshot_copy(const struct series_registry *registry, const struct series_group *group, uint64_t committed,
                            struct weir_sample *samples, size_t room)
{
    unsigned half = (unsigned)committed & 1u;
    uint32_t turn = (uint32_t)(committed >> 1);
    int64_t time_ns = (int64_t)atomic_load_explicit(&group->times[half], memory_order_acquire);
    size_t n = 0;

    for (const struct series_extent *extent = &group->extents; extent;
         extent = atomic_load_explicit(&extent->next, memory_order_acquire)) {
        uint32_t end = atomic_load_explicit(&extent->count, memory_order_acquire);

        end = end ? end + extent->first : 0;
        for (uint32_t index = end ? extent->first : 0; index < end && n + 1 < room; index++) {
            const struct series_cell *cell = &registry->cells[index];
            uint32_t mark = atomic_load_explicit(&cell->mark[half], memory_order_acquire);
            uint32_t flags = mark & SERIES_MARK_U64 ? (uint32_t)WEIR_S_U64 : 0u;
            uint64_t start = 0;

            if ((mark & SERIES_TURN_MASK) != turn)
                continue;
            samples[n].bits = atomic_load_explicit(&cell->bits[half], memory_order_acquire);
            if (mark & SERIES_MARK_START)
                start = (uint64_t)atomic_load_explicit(&registry->starts[index], memory_order_acquire);
            /* A start beyond this half's time belongs to the pass that is being written. */
            if (start && (int64_t)start <= time_ns)
                flags |= WEIR_S_START;
            else
                start = 0;
            samples[n].head = (uint64_t)flags << 32 | atomic_load_explicit(&cell->handle, memory_order_acquire);
            samples[n].time_ns = time_ns;
            samples[n].aux = start;
            n++;
        }
    }
    samples[n].head = ((uint64_t)WEIR_S_MARK << 32) | group->id;
    samples[n].head |= (uint64_t)(atomic_load_explicit(&group->kept, memory_order_relaxed)
                                      ? WEIR_PASS_KEPT
                                      : atomic_load_explicit(&group->statuses[half], memory_order_acquire))
                       << 40;
    samples[n].time_ns = time_ns;
    samples[n].bits = n;
    samples[n].aux = atomic_load_explicit(&group->numbers[half], memory_order_acquire);
    return n + 1;
}

int series_snapshot(struct series_registry *registry, const struct series_group *group, struct weir_sample **samples,
                    size_t *room, size_t *count)
{
    for (unsigned tries = 0; tries < SNAPSHOT_TRIES; tries++) {
        uint64_t committed = atomic_load_explicit(&group->committed, memory_order_acquire);
        size_t need = atomic_load_explicit(&group->counts[committed & 1u], memory_order_acquire) + 1ul;

        if (!committed)
            return WEIR_EAGAIN;
        if (snapshot_room(samples, room, need) < 0)
            return WEIR_ENOMEM;
        *count = snapshot_copy(registry, group, committed, *samples, *room);
        if (atomic_load_explicit(&group->committed, memory_order_relaxed) == committed)
            return WEIR_OK;
        sched_yield();
    }
    return WEIR_EAGAIN;
}
