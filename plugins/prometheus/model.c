/* model.c - keeping the model; model.h says what it holds. */
#include "model.h"

#include "number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SERIES_MAX (WEIR_SERIES_INDEX + 1ul)
#define HUGE_PAGE ((size_t)2 << 20)

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

int model_init(struct model *model, const struct weir_host *host, struct weir_self *self)
{
    *model = (struct model){.host = host, .self = self, .version = 1};
    pthread_mutex_init(&model->lock, NULL);
    model->series = reserve(SERIES_MAX * sizeof(*model->series));
    model->bits = reserve(SERIES_MAX * sizeof(*model->bits));
    model->state = reserve(SERIES_MAX * sizeof(*model->state));
    model->exemplars = reserve(SERIES_MAX * sizeof(*model->exemplars));
    return model->series && model->bits && model->state && model->exemplars ? WEIR_OK : WEIR_ENOMEM;
}

static void graveyard_empty(struct model *model)
{
    while (model->graveyard) {
        struct label_text *text = model->graveyard;

        model->graveyard = text->next;
        free(text);
    }
}

void model_free(struct model *model)
{
    graveyard_empty(model);
    for (uint32_t i = 0; i < model->nfamilies; i++) {
        free(model->sorted[i]->slots);
        free(model->sorted[i]);
    }
    for (uint32_t index = 1; index < model->series_end; index++)
        if (model->series[index].has_exemplar)
            free(model->exemplars[index]);
    for (uint32_t i = 0; i < model->labelsets_room; i++)
        free(model->labelsets[i]);
    free(model->families);
    free(model->sorted);
    free(model->labelsets);
    unreserve(model->series, SERIES_MAX * sizeof(*model->series));
    unreserve(model->bits, SERIES_MAX * sizeof(*model->bits));
    unreserve(model->state, SERIES_MAX * sizeof(*model->state));
    unreserve(model->exemplars, SERIES_MAX * sizeof(*model->exemplars));
    free(model->not_before_ns);
    free(model->sources);
    pthread_mutex_destroy(&model->lock);
}

/* Room for `need` elements, new ones zeroed. */
static bool room_for(void *array_pointer, uint32_t *room, uint32_t need, size_t size)
{
    void **array = array_pointer, *larger;
    uint32_t more = *room ? *room : 256;

    if (need <= *room)
        return true;
    /* Many of these are small: half as much again would be most of the memory that is not used. */
    while (more < need)
        more += more / 8;
    larger = realloc(*array, more * size);
    if (!larger)
        return false;
    memset((char *)larger + *room * size, 0, (more - *room) * size);
    *array = larger;
    *room = more;
    return true;
}

/* ---- Families, label sets, series ------------------------------------------------------------------------------------------ */

static size_t blocks(size_t bytes)
{
    return (bytes + MODEL_BLOCK - 1) / MODEL_BLOCK * MODEL_BLOCK;
}

/* True if `total` is `name` with _total behind it. */
static bool is_total_of(const char *total, const char *name)
{
    size_t length = strlen(name);

    return strncmp(total, name, length) == 0 && strcmp(total + length, "_total") == 0;
}

static struct model_family *family_of(struct model *model, const struct weir_series_info *info)
{
    struct model_family *family, **larger;
    uint32_t at;
    size_t length;

    if (!room_for(&model->families, &model->families_room, info->family + 1, sizeof(*model->families)))
        return NULL;
    if (model->families[info->family])
        return model->families[info->family];
    (void)part_of(info->kind, info->name, &length);
    /* The host has no other family of this name: so it is one that this is a part of. */
    for (at = 0; at < model->nfamilies; at++)
        if (strncmp(model->sorted[at]->name, info->name, length) == 0 && !model->sorted[at]->name[length]) {
            family = model->families[info->family] = model->sorted[at];
            if (!*family->help)
                family->help = info->help;
            if (!family->unit)
                family->unit = info->unit;
            return family;
        }
    larger = realloc(model->sorted, (model->nfamilies + 1) * sizeof(struct model_family *));
    if (!larger)
        return NULL;
    model->sorted = larger;
    family = calloc(1, sizeof(*family) + blocks(length + 1));
    if (!family)
        return NULL;
    family->id = info->family;
    family->kind = info->kind;
    family->name = memcpy((char *)(family + 1), info->name, length);
    family->in_parts = info->kind == WEIR_HISTOGRAM || info->kind == WEIR_SUMMARY;
    family->unit = info->unit;
    family->help = info->help;
    model->families[info->family] = family;
    family->total = info->kind == WEIR_COUNTER && strlen(info->name) > 6 &&
                    strcmp(info->name + strlen(info->name) - 6, "_total") == 0;
    /* OpenMetrics allows a family's name once: x_total stays x_total where there is an x. */
    for (uint32_t i = 0; i < model->nfamilies; i++) {
        if (is_total_of(family->name, model->sorted[i]->name))
            family->total = false;
        if (is_total_of(model->sorted[i]->name, family->name))
            model->sorted[i]->total = false;
    }
    for (at = model->nfamilies; at > 0 && strcmp(model->sorted[at - 1]->name, family->name) > 0; at--)
        model->sorted[at] = model->sorted[at - 1];
    model->sorted[at] = family;
    model->nfamilies++;
    return family;
}

static size_t labels_room(const struct weir_label *labels, size_t count)
{
    size_t room = 2;

    for (size_t i = 0; i < count; i++)
        room += strlen(labels[i].name) + 2 * strlen(labels[i].value) + 4;
    return room;
}

/* {a="b",c="d"}, or nothing; escapes \, " and newline, as both formats want it. */
static char *labels_put(char *out, const struct weir_label *labels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t name = strlen(labels[i].name);

        *out++ = i ? ',' : '{';
        memcpy(out, labels[i].name, name);
        out += name;
        *out++ = '=';
        *out++ = '"';
        for (const char *s = labels[i].value; *s; s++) {
            if (*s == '\\' || *s == '"' || *s == '\n') {
                *out++ = '\\';
                *out++ = *s == '\n' ? 'n' : *s;
            } else {
                *out++ = *s;
            }
        }
        *out++ = '"';
    }
    if (count)
        *out++ = '}';
    return out;
}

/* What was made in more room than it needs. */
static struct label_text *text_trim(struct label_text *text, const char *end)
{
    struct label_text *trimmed;

    text->next = NULL;
    text->users = 0;
    text->length = (uint32_t)(end - text->text);
    trimmed = realloc(text, sizeof(*text) + blocks(text->length));
    return trimmed ? trimmed : text;
}

static struct label_text *label_text_make(const struct weir_series_info *info)
{
    struct label_text *text = malloc(sizeof(*text) + blocks(labels_room(info->labels, info->nlabels)));

    return text ? text_trim(text, labels_put(text->text, info->labels, info->nlabels)) : NULL;
}

/* What OpenMetrics has behind the value: " # {...} value seconds". */
static struct label_text *exemplar_make(const struct weir_label *labels, size_t count, const struct weir_sample *sample)
{
    struct label_text *text = malloc(sizeof(*text) + blocks(labels_room(labels, count) + 2 * NUMBER_MAX + 16));
    char *out;

    if (!text)
        return NULL;
    memcpy(text->text, " # ", 3);
    out = labels_put(text->text + 3, labels, count);
    if (!count) {
        *out++ = '{';
        *out++ = '}';
    }
    *out++ = ' ';
    out += number_f64(out, weir_sample_f64(sample));
    *out++ = ' ';
    out += number_f64(out, (double)(sample->time_ns / 1000000) / 1e3);
    return text_trim(text, out);
}

/* Nobody but a snapshot uses it any more. */
static void text_drop(struct model *model, struct label_text *text)
{
    if (model->snapshots) {
        text->next = model->graveyard;
        model->graveyard = text;
    } else {
        free(text);
    }
}

static void label_text_leave(struct model *model, uint32_t labelset)
{
    struct label_text *text = model->labelsets[labelset];

    if (--text->users)
        return;
    model->labelsets[labelset] = NULL;
    text_drop(model, text);
}

static void series_remove(struct model *model, uint32_t index)
{
    struct model_series *series = &model->series[index];
    struct model_family *family = model->families[series->family];

    if (model->state[index] != MODEL_STALE)
        family->live--;
    family->label_bytes -= model->labelsets[series->labelset]->length;
    family->slots[series->position] = 0;
    family->gone++;
    family->changed = ++model->version;
    label_text_leave(model, series->labelset);
    if (series->has_exemplar)
        text_drop(model, model->exemplars[index]);
    series->has_exemplar = 0;
    model->state[index] = MODEL_STALE;
    series->known = 0;
    if (family->gone * 2 > family->count) {
        uint32_t kept = 0;

        for (uint32_t i = 0; i < family->count; i++) {
            if (family->slots[i]) {
                model->series[family->slots[i]].position = kept & WEIR_SERIES_INDEX;
                family->slots[kept++] = family->slots[i];
            }
        }
        family->count = kept;
        family->gone = 0;
    }
}

/* Learns what a handle is; false if it has ended already, or without memory. */
static bool series_add(struct model *model, uint32_t handle)
{
    struct weir_series_info info = {.size = sizeof(info)};
    uint32_t index = handle & WEIR_SERIES_INDEX;
    struct model_family *family;
    struct label_text *text;
    size_t length;

    if (model->host->series_info(model->self, handle, &info) < 0)
        return false;
    if (model->series[index].known)
        series_remove(model, index);
    family = family_of(model, &info);
    if (!family || !room_for(&family->slots, &family->room, family->count + 1, sizeof(*family->slots)) ||
        !room_for(&model->labelsets, &model->labelsets_room, info.labelset + 1, sizeof(*model->labelsets)) ||
        !room_for(&model->not_before_ns, &model->groups_room, info.group + 1, sizeof(*model->not_before_ns)))
        return false;
    text = model->labelsets[info.labelset];
    if (!text) {
        text = label_text_make(&info);
        if (!text)
            return false;
        model->labelsets[info.labelset] = text;
    }
    text->users++;
    family->label_bytes += text->length;
    model->series[index] = (struct model_series){.labelset = info.labelset & WEIR_SERIES_INDEX, .generation = (uint8_t)(handle >> 24),
                                                 .known = 1, .position = family->count & WEIR_SERIES_INDEX,
                                                 .part = part_of(info.kind, info.name, &length), .in_parts = family->in_parts,
                                                 .family = (uint16_t)family->id, .group = (uint16_t)info.group};
    family->unsorted = family->in_parts;
    model->unsorted |= family->unsorted;
    model->state[index] = MODEL_STALE;
    if (index >= model->series_end)
        model->series_end = index + 1;
    family->slots[family->count++] = index;
    return true;
}

/* Brings the slots of a family in parts into the order of its lines.  Without memory they stay as they are. */
static void family_sort(struct model *model, struct model_family *family)
{
    struct part_line *lines = malloc((family->count ? family->count : 1) * sizeof(*lines));
    uint32_t n = 0;

    for (uint32_t i = 0; lines && i < family->count; i++) {
        const struct model_series *series = &model->series[family->slots[i]];
        const struct label_text *text;

        if (!family->slots[i])
            continue;
        text = model->labelsets[series->labelset];
        lines[n++] = (struct part_line){.text = text->text, .length = text->length, .part = (enum part)series->part,
                                        .index = family->slots[i]};
    }
    if (lines) {
        part_sort(lines, n);
        for (uint32_t i = 0; i < n; i++) {
            family->slots[i] = lines[i].index;
            model->series[lines[i].index].position = i & WEIR_SERIES_INDEX;
        }
        family->count = n;
        family->gone = 0;
    }
    family->unsorted = false;
    free(lines);
}

static void families_sort(struct model *model)
{
    for (uint32_t i = 0; model->unsorted && i < model->nfamilies; i++)
        if (model->sorted[i]->unsorted)
            family_sort(model, model->sorted[i]);
    model->unsorted = false;
}

/* ---- Batches ----------------------------------------------------------------------------------------------------------------- */

static struct model_source *source_of(struct model *model, const struct weir_batch *batch)
{
    struct model_source *larger;

    for (size_t i = 0; i < model->nsources; i++)
        if (model->sources[i].id == batch->source)
            return &model->sources[i];
    if (!model->open)
        pthread_mutex_lock(&model->lock);
    larger = realloc(model->sources, (model->nsources + 1) * sizeof(*larger));
    if (larger) {
        model->sources = larger;
        larger[model->nsources++] = (struct model_source){.id = batch->source, .name = batch->source_name};
    }
    if (!model->open)
        pthread_mutex_unlock(&model->lock);
    return larger ? &larger[model->nsources - 1] : NULL;
}

static void pass_open(struct model *model, struct model_source *source)
{
    if (source->open)
        return;
    source->open = true;
    if (model->open++ == 0)
        pthread_mutex_lock(&model->lock);
}

static void pass_close(struct model *model, struct model_source *source)
{
    if (!source->open || source->gap)
        return;
    families_sort(model);
    source->open = false;
    if (--model->open == 0)
        pthread_mutex_unlock(&model->lock);
}

static uint32_t handle_of(const struct model *model, uint32_t index)
{
    return (uint32_t)model->series[index].generation << 24 | index;
}

static void forget_source(struct model *model, uint32_t source)
{
    for (uint32_t index = 1; index < model->series_end; index++) {
        struct weir_series_info info = {.size = sizeof(info)};

        if (!model->series[index].known)
            continue;
        /* One that has ended meanwhile is nobody's any more. */
        if (model->host->series_info(model->self, handle_of(model, index), &info) < 0 || info.source == source)
            series_remove(model, index);
    }
}

/* Of a value that was applied; the last one stays. */
static void apply_exemplar(struct model *model, const struct weir_sample *sample)
{
    uint32_t handle = weir_sample_series(sample), index = handle & WEIR_SERIES_INDEX;
    struct model_series *series = &model->series[index];
    const struct weir_label *labels;
    struct label_text *text;
    size_t count;

    if (!model_series_is(series, handle) || model->host->exemplar_labels(model->self, (uint32_t)sample->aux, &labels, &count) < 0 ||
        (text = exemplar_make(labels, count, sample)) == NULL)
        return;
    if (series->has_exemplar)
        text_drop(model, model->exemplars[index]);
    series->has_exemplar = 1;
    model->exemplars[index] = text;
    model->families[series->family]->changed = model->version + 1;
}

static void apply(struct model *model, const struct weir_sample *sample, bool snapshot)
{
    uint32_t handle = weir_sample_series(sample), index = handle & WEIR_SERIES_INDEX, flags = weir_sample_flags(sample);
    struct model_family *family;
    uint8_t state;

    if (!model_series_is(&model->series[index], handle)) {
        if (flags & (WEIR_S_STALE | WEIR_S_RELEASED) || !series_add(model, handle))
            return;
    }
    if (flags & WEIR_S_RELEASED) {
        series_remove(model, index);
        return;
    }
    if (!snapshot && sample->time_ns <= model->not_before_ns[model->series[index].group])
        return;
    state = flags & WEIR_S_STALE ? MODEL_STALE : flags & WEIR_S_U64 ? MODEL_U64 : MODEL_F64;
    if (state == model->state[index] && (sample->bits == model->bits[index] || state == MODEL_STALE))
        return;
    family = model->families[model->series[index].family];
    family->live += (uint32_t)(state != MODEL_STALE) - (uint32_t)(model->state[index] != MODEL_STALE);
    family->changed = model->version + 1;
    model->state[index] = state;
    model->bits[index] = sample->bits;
}

int model_consume(struct model *model, const struct weir_batch *batch)
{
    struct model_source *source = source_of(model, batch);
    const bool snapshot = batch->flags & WEIR_B_SNAPSHOT;

    if (!source)
        return WEIR_ENOMEM;
    if (batch->flags & WEIR_B_GAP) {
        pass_open(model, source);
        forget_source(model, batch->source);
        model->version++;
        source->gap = true;
        return WEIR_OK;
    }
    if (source->gap && !snapshot) {
        source->gap = false;
        pass_close(model, source);
    }
    for (size_t i = 0; i < batch->nsamples; i++) {
        const struct weir_sample *sample = &batch->samples[i];

        pass_open(model, source);
        if (weir_sample_flags(sample) & WEIR_S_EXEMPLAR) {
            apply_exemplar(model, sample);
            continue;
        }
        if (!(weir_sample_flags(sample) & WEIR_S_MARK)) {
            apply(model, sample, snapshot);
            continue;
        }
        if (snapshot && room_for(&model->not_before_ns, &model->groups_room, weir_sample_series(sample) + 1,
                                 sizeof(*model->not_before_ns)))
            model->not_before_ns[weir_sample_series(sample)] = sample->time_ns;
        model->version++;
        pass_close(model, source);
    }
    return WEIR_OK;
}

/* ---- Snapshots ---------------------------------------------------------------------------------------------------------------- */

/* Under the lock. */
static bool of_source(const struct model *model, uint32_t index, uint32_t source)
{
    struct weir_series_info info = {.size = sizeof(info)};

    return model->host->series_info(model->self, handle_of(model, index), &info) >= 0 && info.source == source;
}

static struct model_snapshot *snapshot_alloc(size_t lines)
{
    const size_t bytes = sizeof(struct model_snapshot) + lines * sizeof(struct model_line);
    const size_t page = bytes > HUGE_PAGE / 2 ? HUGE_PAGE : (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    /* As large as this it is mapped for itself, and unmapped when it is freed. */
    struct model_snapshot *snapshot = aligned_alloc(page, whole);

    if (!snapshot)
        return NULL;
    if (page == HUGE_PAGE)
        (void)madvise(snapshot, whole, MADV_HUGEPAGE); /* or not: a kernel may be without them */
    memset(snapshot, 0, sizeof(*snapshot));
    return snapshot;
}

static void snapshot_free(struct model_snapshot *snapshot)
{
    free(snapshot->families);
    free(snapshot->exemplars);
    free(snapshot);
}

static int by_line(const void *a, const void *b)
{
    const struct model_exemplar *one = a, *other = b;

    return (one->line > other->line) - (one->line < other->line);
}

static void snapshot_line(const struct model *model, struct model_snapshot *snapshot, uint32_t index, size_t at)
{
    struct model_line *line = &snapshot->lines[at];
    const size_t n = snapshot->nexemplars;
    struct model_exemplar *larger = snapshot->exemplars;

    (void)model_live(model, index, line);
    if (!(line->labels & MODEL_LINE_EXEMPLAR))
        return;
    if ((n & (n - 1)) == 0) /* room is a power of two */
        larger = realloc(snapshot->exemplars, (n ? 2 * n : 1) * sizeof(*larger));
    if (!larger) {
        line->labels &= ~(uintptr_t)MODEL_LINE_EXEMPLAR;
        return;
    }
    snapshot->exemplars = larger;
    larger[snapshot->nexemplars++] = (struct model_exemplar){.line = at, .text = model->exemplars[index]};
}

const struct label_text *model_snapshot_exemplar(const struct model_snapshot *snapshot, size_t line)
{
    const struct model_exemplar wanted = {.line = line};
    const struct model_exemplar *found = NULL;

    if (snapshot->lines[line].labels & MODEL_LINE_EXEMPLAR)
        found = bsearch(&wanted, snapshot->exemplars, snapshot->nexemplars, sizeof(wanted), by_line);
    return found ? found->text : NULL;
}

/* Every family's lines have their place; series are walked by index, so that what is read lies together. */
static struct model_snapshot *snapshot_make(struct model *model, uint32_t source)
{
    struct model_snapshot *snapshot;
    size_t *next = calloc(model->families_room + 1ul, sizeof(*next)); /* by family id: where its next line goes */
    size_t lines = 0, families = 0;

    for (uint32_t i = 0; i < model->nfamilies && next; i++) {
        next[model->sorted[i]->id] = lines;
        lines += model->sorted[i]->live;
        families += model->sorted[i]->live > 0;
    }
    snapshot = next ? snapshot_alloc(lines) : NULL;
    if (snapshot) {
        snapshot->users = 1;
        snapshot->version = model->version;
        snapshot->families = malloc((families ? families : 1) * sizeof(*snapshot->families));
    }
    if (!snapshot || !snapshot->families) {
        if (snapshot)
            snapshot_free(snapshot);
        free(next);
        return NULL;
    }
    for (uint32_t index = 1; index < model->series_end; index++)
        if (model->state[index] != MODEL_STALE && !model->series[index].in_parts && (!source || of_source(model, index, source)))
            snapshot_line(model, snapshot, index, next[model->series[index].family]++);
    for (uint32_t i = 0; i < model->nfamilies; i++) {
        const struct model_family *family = model->sorted[i];

        for (uint32_t slot = 0; family->in_parts && slot < family->count; slot++)
            if (family->slots[slot] && model->state[family->slots[slot]] != MODEL_STALE &&
                (!source || of_source(model, family->slots[slot], source)))
                snapshot_line(model, snapshot, family->slots[slot], next[family->id]++);
    }
    if (snapshot->nexemplars)
        qsort(snapshot->exemplars, snapshot->nexemplars, sizeof(*snapshot->exemplars), by_line);
    lines = 0;
    for (uint32_t i = 0; i < model->nfamilies; i++) {
        const struct model_family *family = model->sorted[i];
        size_t count = next[family->id] - lines;

        if (count)
            snapshot->families[snapshot->nfamilies++] = (struct model_lines){.family = family, .first = lines, .count = count};
        lines += family->live;
    }
    free(next);
    model->snapshots++;
    return snapshot;
}

/* Under the lock. */
static void snapshot_leave(struct model *model, struct model_snapshot *snapshot)
{
    if (--snapshot->users)
        return;
    snapshot_free(snapshot);
    if (--model->snapshots == 0)
        graveyard_empty(model);
}

struct model_snapshot *model_snapshot_get(struct model *model, uint32_t source)
{
    struct model_snapshot *snapshot = NULL;

    pthread_mutex_lock(&model->lock);
    if (source) {
        snapshot = model->snapshots < MODEL_SNAPSHOTS_MAX ? snapshot_make(model, source) : NULL;
    } else {
        if (model->newest && model->newest->version != model->version &&
            (model->snapshots < MODEL_SNAPSHOTS_MAX || model->newest->users == 1)) {
            snapshot_leave(model, model->newest);
            model->newest = NULL;
        }
        if (!model->newest)
            model->newest = snapshot_make(model, 0);
        snapshot = model->newest;
        if (snapshot)
            snapshot->users++;
    }
    pthread_mutex_unlock(&model->lock);
    return snapshot;
}

void model_snapshot_put(struct model *model, struct model_snapshot *snapshot)
{
    pthread_mutex_lock(&model->lock);
    snapshot_leave(model, snapshot);
    /* The last scrape gone: nobody needs the copy until the next one comes. */
    if (model->newest && model->newest->users == 1) {
        struct model_snapshot *newest = model->newest;

        model->newest = NULL;
        snapshot_leave(model, newest);
    }
    pthread_mutex_unlock(&model->lock);
}

uint32_t model_source_find(struct model *model, const char *name)
{
    uint32_t id = 0;

    pthread_mutex_lock(&model->lock);
    for (size_t i = 0; i < model->nsources; i++)
        if (strcmp(model->sources[i].name, name) == 0)
            id = model->sources[i].id;
    pthread_mutex_unlock(&model->lock);
    return id;
}
