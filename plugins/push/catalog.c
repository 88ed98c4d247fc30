/* catalog.c - handles, families and label sets; catalog.h says for what. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "catalog.h"

#include <stdlib.h>
#include <string.h>

struct labelset { /* shared; of `users` series */
    struct labelset *next; /* with the same place in the table */
    uint32_t users;
    struct record_labels labels; /* the last: it has bytes behind it */
};
struct family {
    struct family *next; /* of the same family of the host, under another name */
    struct record_family sent;
    char name[];
};
struct catalog {
    const struct weir_host *host;
    struct weir_self *self;
    struct catalog_options options;
    const struct relabel *relabel;
    struct label_set work;
    struct catalog_series *series; /* by index */
    uint32_t series_room, series_end;
    struct family **families; /* by the host's id */
    uint32_t families_room;
    struct labelset **labelsets;
    size_t labelsets_room, labelsets_count; /* room is a power of two */
    uint64_t sent, filtered;
};

struct catalog *catalog_new(const struct weir_host *host, struct weir_self *self, const struct catalog_options *options,
                            const struct relabel *relabel)
{
    struct catalog *catalog = calloc(1, sizeof(*catalog));

    if (!catalog)
        return NULL;
    catalog->host = host;
    catalog->self = self;
    catalog->options = *options;
    catalog->relabel = relabel;
    return catalog;
}

void catalog_free(struct catalog *catalog)
{
    if (!catalog)
        return;
    for (uint32_t i = 0; i < catalog->families_room; i++)
        for (struct family *family = catalog->families[i], *next; family; family = next) {
            next = family->next;
            free(family);
        }
    for (size_t i = 0; i < catalog->labelsets_room; i++)
        for (struct labelset *set = catalog->labelsets[i], *next; set; set = next) {
            next = set->next;
            free(set);
        }
    label_set_free(&catalog->work);
    free(catalog->families);
    free(catalog->labelsets);
    free(catalog->series);
    free(catalog);
}

/* Makes room for an index; what is new is zero. */
static bool room_for(void *pointer, uint32_t *room, uint32_t index, size_t size)
{
    void **array = pointer;
    uint32_t more = *room ? *room : 256;
    void *larger;

    if (index < *room)
        return true;
    while (more <= index)
        more += more / 2;
    larger = realloc(*array, more * size);
    if (!larger)
        return false;
    memset((char *)larger + *room * size, 0, (more - *room) * size);
    *array = larger;
    *room = more;
    return true;
}

/* ---- Families ------------------------------------------------------------------------------------------------------------ */

static struct record_family *family_of(struct catalog *catalog, const struct weir_series_info *info, const char *name)
{
    struct family *family;
    size_t length = strlen(name) + 1;

    if (!room_for(&catalog->families, &catalog->families_room, info->family, sizeof(*catalog->families)))
        return NULL;
    for (family = catalog->families[info->family]; family; family = family->next)
        if (strcmp(family->name, name) == 0)
            return &family->sent;
    family = malloc(sizeof(*family) + length);
    if (!family)
        return NULL;
    memcpy(family->name, name, length);
    family->sent = (struct record_family){.name = family->name, .unit = info->unit ? info->unit : "",
                                          .help = info->help ? info->help : "",
                                          .kind = info->kind};
    family->next = catalog->families[info->family];
    catalog->families[info->family] = family;
    return &family->sent;
}

/* ---- Label sets ---------------------------------------------------------------------------------------------------------- */

/* As a `labels` field of remote write 1.0 each, but for __name__. */
static struct labelset *labelset_make(const struct label_set *from)
{
    struct labelset *set;
    size_t room = 0;
    uint8_t *to;

    for (size_t i = 0; i < from->count; i++)
        room += strlen(from->labels[i].name) + strlen(from->labels[i].value) + RECORD_LABEL_AROUND;
    set = malloc(sizeof(*set) + room);
    if (!set)
        return NULL;
    *set = (struct labelset){.users = 0};
    to = set->labels.bytes;
    for (size_t i = 0; i < from->count; i++) {
        if (strcmp(from->labels[i].name, RELABEL_NAME) == 0) {
            set->labels.split = (uint32_t)(to - set->labels.bytes);
            continue;
        }
        to = record_put_label(to, from->labels[i].name, from->labels[i].value);
    }
    set->labels.length = (uint32_t)(to - set->labels.bytes);
    set->labels.hash = (uint32_t)XXH3_64bits(set->labels.bytes, set->labels.length);
    return set;
}

static bool labelsets_grow(struct catalog *catalog)
{
    size_t room = catalog->labelsets_room ? catalog->labelsets_room * 2 : 1024;
    struct labelset **larger = calloc(room, sizeof(struct labelset *));

    if (!larger)
        return false;
    for (size_t i = 0; i < catalog->labelsets_room; i++)
        for (struct labelset *set = catalog->labelsets[i], *next; set; set = next) {
            next = set->next;
            set->next = larger[set->labels.hash & (room - 1)];
            larger[set->labels.hash & (room - 1)] = set;
        }
    free(catalog->labelsets);
    catalog->labelsets = larger;
    catalog->labelsets_room = room;
    return true;
}

/* The one there is with the same bytes, or this one. */
static struct record_labels *labelset_share(struct catalog *catalog, struct labelset *made)
{
    struct labelset **place, *set, *trimmed;

    if (catalog->labelsets_count >= catalog->labelsets_room && !labelsets_grow(catalog)) {
        free(made);
        return NULL;
    }
    place = &catalog->labelsets[made->labels.hash & (catalog->labelsets_room - 1)];
    for (set = *place; set; set = set->next)
        if (set->labels.hash == made->labels.hash && set->labels.length == made->labels.length &&
            memcmp(set->labels.bytes, made->labels.bytes, made->labels.length) == 0)
            break;
    if (set) {
        free(made);
    } else {
        trimmed = realloc(made, sizeof(*made) + made->labels.length);
        set = trimmed ? trimmed : made;
        set->next = *place;
        *place = set;
        catalog->labelsets_count++;
    }
    set->users++;
    return &set->labels;
}

static void labelset_leave(struct catalog *catalog, struct record_labels *labels)
{
    struct labelset **place = &catalog->labelsets[labels->hash & (catalog->labelsets_room - 1)];

    while (&(*place)->labels != labels)
        place = &(*place)->next;
    if (--(*place)->users == 0) {
        struct labelset *gone = *place;

        *place = gone->next;
        catalog->labelsets_count--;
        free(gone);
    }
}

/* ---- Series -------------------------------------------------------------------------------------------------------------- */

static bool labels_complete(struct catalog *catalog, const struct weir_series_info *info)
{
    struct label_set *work = &catalog->work;
    bool good = label_set_begin(work, info->name, info->labels, info->nlabels);

    for (size_t i = 0; good && i < catalog->options.nexternal; i++)
        if (!*label_set_get(work, catalog->options.external[i].name))
            good = label_set_put(work, catalog->options.external[i].name, catalog->options.external[i].value);
    if (good && !*label_set_get(work, "job"))
        good = label_set_put(work, "job", catalog->options.job);
    if (good && !*label_set_get(work, "instance"))
        good = label_set_put(work, "instance", catalog->options.instance);
    return good;
}

static bool series_make(struct catalog *catalog, struct catalog_series *series, const struct weir_series_info *info)
{
    enum relabel_result result = labels_complete(catalog, info) ? relabel_apply(catalog->relabel, &catalog->work) : RELABEL_FAILED;
    struct labelset *made;

    if (result != RELABEL_SEND) {
        catalog->filtered++;
        return true;
    }
    series->family = family_of(catalog, info, label_set_get(&catalog->work, RELABEL_NAME));
    made = series->family ? labelset_make(&catalog->work) : NULL;
    series->labels = made ? labelset_share(catalog, made) : NULL;
    catalog->sent += series->labels != NULL;
    return series->labels != NULL;
}

const struct catalog_series *catalog_get(struct catalog *catalog, uint32_t handle)
{
    struct weir_series_info info = {.size = sizeof(info)};
    uint32_t index = handle & WEIR_SERIES_INDEX;
    struct catalog_series *series;

    if (index < catalog->series_end && catalog->series[index].handle == handle)
        return &catalog->series[index];
    if (catalog->host->series_info(catalog->self, handle, &info) < 0 ||
        !room_for(&catalog->series, &catalog->series_room, index, sizeof(*catalog->series)))
        return NULL;
    series = &catalog->series[index];
    if (series->handle)
        catalog_forget(catalog, series->handle);
    *series = (struct catalog_series){.group = info.group, .source = info.source};
    if (!series_make(catalog, series, &info))
        return NULL;
    series->handle = handle;
    if (index >= catalog->series_end)
        catalog->series_end = index + 1;
    return series;
}

void catalog_forget(struct catalog *catalog, uint32_t handle)
{
    uint32_t index = handle & WEIR_SERIES_INDEX;
    struct catalog_series *series = &catalog->series[index];

    if (index >= catalog->series_end || series->handle != handle)
        return;
    if (series->labels)
        labelset_leave(catalog, series->labels);
    catalog->sent -= series->labels != NULL;
    catalog->filtered -= series->labels == NULL;
    *series = (struct catalog_series){0};
}

void catalog_forget_source(struct catalog *catalog, uint32_t source)
{
    for (uint32_t index = 1; index < catalog->series_end; index++)
        if (catalog->series[index].handle && catalog->series[index].source == source)
            catalog_forget(catalog, catalog->series[index].handle);
}

void catalog_count(const struct catalog *catalog, uint64_t *sent, uint64_t *filtered)
{
    *sent = catalog->sent;
    *filtered = catalog->filtered;
}
