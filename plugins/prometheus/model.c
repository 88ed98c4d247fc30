/* model.c - keeping the model; model.h says what it holds. */
#include "model.h"

#include "number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SERIES_MAX (WEIR_SERIES_INDEX + 1ul)
#define TEXTS_MAX (1ul << MODEL_TEXT_BITS)
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
    *model = (struct model){.host = host, .self = self, .version = 1, .texts_end = 1};
    pthread_mutex_init(&model->lock, NULL);
    model->series = reserve(SERIES_MAX * sizeof(*model->series));
    model->bits = reserve(SERIES_MAX * sizeof(*model->bits));
    model->exemplars = reserve(SERIES_MAX * sizeof(*model->exemplars));
    model->texts = reserve(TEXTS_MAX * sizeof(*model->texts));
    return model->series && model->bits && model->exemplars && model->texts ? WEIR_OK : WEIR_ENOMEM;
}

static void text_free(struct model *model, struct label_text *text)
{
    if (text->id) {
        model->texts[text->id].next_free = model->free_text;
        model->free_text = text->id;
    }
    free(text);
}

static void graveyard_empty(struct model *model)
{
    while (model->graveyard) {
        struct label_text *text = model->graveyard;

        model->graveyard = text->next;
        text_free(model, text);
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
        if (model->text_ids[i])
            free(model->texts[model->text_ids[i]].text);
    free(model->families);
    free(model->sorted);
    free(model->text_ids);
    unreserve(model->series, SERIES_MAX * sizeof(*model->series));
    unreserve(model->bits, SERIES_MAX * sizeof(*model->bits));
    unreserve(model->exemplars, SERIES_MAX * sizeof(*model->exemplars));
    unreserve(model->texts, TEXTS_MAX * sizeof(*model->texts));
    free(model->groups);
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

static bool is_escaped(char c)
{
    return c == '\\' || c == '"' || c == '\n';
}

/* What labels_put needs. */
static size_t labels_length(const struct weir_label *labels, size_t count)
{
    size_t length = count > 0;

    for (size_t i = 0; i < count; i++) {
        length += strlen(labels[i].name) + 4;
        for (const char *s = labels[i].value; *s; s++)
            length += 1u + is_escaped(*s);
    }
    return length;
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
            if (is_escaped(*s)) {
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

static struct label_text *text_new(size_t length)
{
    struct label_text *text = malloc(sizeof(*text) + blocks(length));

    if (text)
        *text = (struct label_text){.length = (uint32_t)length};
    return text;
}

/* The text of the series' label set, found or made; NULL: no memory, or there are too many. */
static struct label_text *label_text_get(struct model *model, const struct weir_series_info *info)
{
    uint32_t id;
    struct label_text *text;

    if (!room_for(&model->text_ids, &model->labelsets_room, info->labelset + 1, sizeof(*model->text_ids)))
        return NULL;
    if (model->text_ids[info->labelset])
        return model->texts[model->text_ids[info->labelset]].text;
    id = model->free_text ? model->free_text : model->texts_end;
    text = id < TEXTS_MAX ? text_new(labels_length(info->labels, info->nlabels)) : NULL;
    if (!text)
        return NULL;
    (void)labels_put(text->text, info->labels, info->nlabels);
    text->id = id;
    text->labelset = info->labelset;
    if (model->free_text)
        model->free_text = (uint32_t)model->texts[id].next_free;
    else
        model->texts_end++;
    model->texts[id].text = text;
    model->text_ids[info->labelset] = id;
    return text;
}

/* What OpenMetrics has behind the value: " # {...} value seconds". */
static struct label_text *exemplar_make(const struct weir_label *labels, size_t count, const struct weir_sample *sample)
{
    static const char begin[] = " # ", none[] = "{}";
    char numbers[2 * NUMBER_MAX + 2];
    size_t before = sizeof(begin) - 1 + (count ? labels_length(labels, count) : sizeof(none) - 1), n = 0;
    struct label_text *text;

    numbers[n++] = ' ';
    n += number_f64(numbers + n, weir_sample_f64(sample));
    numbers[n++] = ' ';
    n += number_f64(numbers + n, (double)(sample->time_ns / 1000000) / 1e3);
    text = text_new(before + n);
    if (!text)
        return NULL;
    memcpy(text->text, begin, sizeof(begin) - 1);
    memcpy(labels_put(text->text + sizeof(begin) - 1, labels, count), none, count ? 0 : sizeof(none) - 1);
    memcpy(text->text + before, numbers, n);
    return text;
}

/* Nobody but a snapshot uses it any more. */
static void text_drop(struct model *model, struct label_text *text)
{
    if (model->snapshots) {
        text->next = model->graveyard;
        model->graveyard = text;
    } else {
        text_free(model, text);
    }
}

static void label_text_leave(struct model *model, struct label_text *text)
{
    if (--text->users)
        return;
    model->text_ids[text->labelset] = 0;
    text_drop(model, text);
}

static bool is_listed(const struct model *model, const struct model_family *family)
{
    return model->listed || family->in_parts;
}

static bool slot_room(struct model_family *family)
{
    return room_for(&family->slots, &family->room, family->count + 1, sizeof(*family->slots));
}

static void slot_add(struct model *model, struct model_family *family, uint32_t index)
{
    model->series[index].position = family->count & WEIR_SERIES_INDEX;
    family->slots[family->count++] = index;
}

static void slot_remove(struct model *model, struct model_family *family, uint32_t position)
{
    uint32_t kept = 0;

    family->slots[position] = 0;
    if (++family->gone * 2 <= family->count)
        return;
    for (uint32_t i = 0; i < family->count; i++) {
        if (family->slots[i]) {
            model->series[family->slots[i]].position = kept & WEIR_SERIES_INDEX;
            family->slots[kept++] = family->slots[i];
        }
    }
    family->count = kept;
    family->gone = 0;
}

static void slots_free(struct model_family *family)
{
    free(family->slots);
    family->slots = NULL;
    family->count = family->room = family->gone = 0;
}

void model_unlist(struct model *model)
{
    for (uint32_t i = 0; i < model->nfamilies && model->listed; i++)
        if (!model->sorted[i]->in_parts)
            slots_free(model->sorted[i]);
    model->listed = false;
}

int model_list(struct model *model)
{
    bool fits = true;

    if (model->listed)
        return WEIR_OK;
    model->listed = true;
    pthread_mutex_lock(&model->lock);
    for (uint32_t index = 1; index < model->series_end && fits; index++) {
        struct model_family *family = model->families[model->series[index].family];

        if (!model->series[index].known || family->in_parts)
            continue;
        fits = slot_room(family);
        if (fits)
            slot_add(model, family, index);
    }
    pthread_mutex_unlock(&model->lock);
    if (!fits)
        model_unlist(model);
    return fits ? WEIR_OK : WEIR_ENOMEM;
}

static void series_remove(struct model *model, uint32_t index)
{
    struct model_series *series = &model->series[index];
    struct model_family *family = model->families[series->family];
    struct label_text *text = model->texts[series->text].text;

    if (series->state != MODEL_STALE)
        family->live--;
    family->label_bytes -= text->length;
    family->series--;
    family->changed = ++model->version;
    label_text_leave(model, text);
    if (series->has_exemplar)
        text_drop(model, model->exemplars[index]);
    series->has_exemplar = 0;
    series->state = MODEL_STALE;
    series->known = 0;
    if (is_listed(model, family))
        slot_remove(model, family, series->position);
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
    if (!family || !room_for(&model->groups, &model->groups_room, info.group + 1, sizeof(*model->groups)) ||
        (is_listed(model, family) && !slot_room(family)) || !(text = label_text_get(model, &info)))
        return false;
    model->groups[info.group].source = info.source;
    text->users++;
    family->label_bytes += text->length;
    family->series++;
    model->series[index] = (struct model_series){.text = text->id & WEIR_SERIES_INDEX, .generation = (uint8_t)(handle >> 24),
                                                 .known = 1, .part = part_of(info.kind, info.name, &length),
                                                 .in_parts = family->in_parts, .family = (uint16_t)family->id,
                                                 .group = (uint16_t)info.group};
    if (is_listed(model, family))
        slot_add(model, family, index);
    family->unsorted = family->in_parts;
    model->unsorted |= family->unsorted;
    if (index >= model->series_end)
        model->series_end = index + 1;
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
        text = model->texts[series->text].text;
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
    struct model_series *series = &model->series[index];
    struct model_family *family;
    enum model_state state;

    if (!model_series_is(series, handle)) {
        if (flags & (WEIR_S_STALE | WEIR_S_RELEASED) || !series_add(model, handle))
            return;
    }
    if (flags & WEIR_S_RELEASED) {
        series_remove(model, index);
        return;
    }
    if (!snapshot && sample->time_ns <= model->groups[series->group].not_before_ns)
        return;
    state = flags & WEIR_S_STALE ? MODEL_STALE : flags & WEIR_S_U64 ? MODEL_U64 : MODEL_F64;
    if (state == series->state && (sample->bits == model->bits[index] || state == MODEL_STALE))
        return;
    family = model->families[series->family];
    family->live += (uint32_t)(state != MODEL_STALE) - (uint32_t)(series->state != MODEL_STALE);
    family->changed = model->version + 1;
    series->state = state & 3u;
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
        if (snapshot && room_for(&model->groups, &model->groups_room, weir_sample_series(sample) + 1, sizeof(*model->groups)))
            model->groups[weir_sample_series(sample)].not_before_ns = sample->time_ns;
        model->version++;
        pass_close(model, source);
    }
    return WEIR_OK;
}

/* ---- Snapshots ---------------------------------------------------------------------------------------------------------------- */

static bool is_shown(const struct model *model, const struct model_series *series, uint32_t source)
{
    return series->state != MODEL_STALE && (!source || model->groups[series->group].source == source);
}

static struct model_snapshot *snapshot_alloc(size_t lines)
{
    const size_t bytes = sizeof(struct model_snapshot) + lines * (sizeof(uint64_t) + sizeof(uint32_t));
    const size_t page = bytes > HUGE_PAGE / 2 ? HUGE_PAGE : (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    /* As large as this it is mapped for itself, and unmapped when it is freed. */
    struct model_snapshot *snapshot = aligned_alloc(page, whole);

    if (!snapshot)
        return NULL;
    if (page == HUGE_PAGE)
        (void)madvise(snapshot, whole, MADV_HUGEPAGE); /* or not: a kernel may be without them */
    memset(snapshot, 0, sizeof(*snapshot));
    snapshot->labels = (uint32_t *)&snapshot->bits[lines];
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
    const struct model_series *series = &model->series[index];
    const size_t n = snapshot->nexemplars;
    struct model_exemplar *larger = snapshot->exemplars;

    snapshot->bits[at] = model->bits[index];
    snapshot->labels[at] = model_series_bits(series) << MODEL_TEXT_BITS | series->text;
    if (!series->has_exemplar)
        return;
    if ((n & (n - 1)) == 0) /* room is a power of two */
        larger = realloc(snapshot->exemplars, (n ? 2 * n : 1) * sizeof(*larger));
    if (!larger) {
        snapshot->labels[at] &= ~((uint32_t)MODEL_LINE_EXEMPLAR << MODEL_TEXT_BITS);
        return;
    }
    snapshot->exemplars = larger;
    larger[snapshot->nexemplars++] = (struct model_exemplar){.line = at, .text = model->exemplars[index]};
}

const struct label_text *model_snapshot_exemplar(const struct model_snapshot *snapshot, size_t line)
{
    const struct model_exemplar wanted = {.line = line};
    const struct model_exemplar *found = NULL;

    if (snapshot->labels[line] >> MODEL_TEXT_BITS & MODEL_LINE_EXEMPLAR)
        found = bsearch(&wanted, snapshot->exemplars, snapshot->nexemplars, sizeof(wanted), by_line);
    return found ? found->text : NULL;
}

/* How many lines each family has, by its id. */
static void lines_count(const struct model *model, uint32_t source, size_t *lines)
{
    for (uint32_t i = 0; i < model->nfamilies && !source; i++)
        lines[model->sorted[i]->id] = model->sorted[i]->live;
    for (uint32_t index = 1; index < model->series_end && source; index++)
        lines[model->series[index].family] += is_shown(model, &model->series[index], source);
}

/* Every family's lines have their place; series are walked by index, so that what is read lies together. */
static struct model_snapshot *snapshot_make(struct model *model, uint32_t source)
{
    struct model_snapshot *snapshot;
    size_t *next = calloc(model->families_room + 1ul, sizeof(*next)); /* by family id: where its next line goes */
    size_t lines = 0, families = 0;

    if (next)
        lines_count(model, source, next);
    for (uint32_t i = 0; i < model->nfamilies && next; i++) {
        const size_t count = next[model->sorted[i]->id];

        next[model->sorted[i]->id] = lines;
        lines += count;
        families += count > 0;
    }
    snapshot = next ? snapshot_alloc(lines) : NULL;
    if (snapshot) {
        snapshot->users = 1;
        snapshot->version = model->version;
        snapshot->texts = model->texts;
        snapshot->families = malloc((families ? families : 1) * sizeof(*snapshot->families));
    }
    if (!snapshot || !snapshot->families) {
        if (snapshot)
            snapshot_free(snapshot);
        free(next);
        return NULL;
    }
    for (uint32_t index = 1; index < model->series_end; index++)
        if (!model->series[index].in_parts && is_shown(model, &model->series[index], source))
            snapshot_line(model, snapshot, index, next[model->series[index].family]++);
    for (uint32_t i = 0; i < model->nfamilies; i++) {
        const struct model_family *family = model->sorted[i];

        for (uint32_t slot = 0; family->in_parts && slot < family->count; slot++)
            if (family->slots[slot] && is_shown(model, &model->series[family->slots[slot]], source))
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
        lines += count;
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
