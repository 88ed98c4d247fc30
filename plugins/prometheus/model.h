/* model.h - what there is to show: families, their live series, and values, kept up to date from batches.
 *
 * A histogram or summary is one family, whose series are parts of it (distribution.h), in the order of the page.  Of exemplars the last one
 * of each series is kept, as text.
 *
 * A label set's text is made once and shared by all its series.  A pass is applied under the lock as a whole: the lock is
 * taken with its first sample and let go with its mark, and since the ring shows whole passes only, the rest is at hand.  So it is with a
 * loss and the snapshots behind it: nobody sees a source without its groups.
 * A snapshot is a copy of the values, by family and index, that many scrapes share and that outlives later passes.  Most of the time
 * there is none, and then it takes no memory.
 *
 * Threads: model_consume on the sink's own; snapshots on any.
 */
#ifndef PROMETHEUS_MODEL_H
#define PROMETHEUS_MODEL_H

#include "distribution.h"

#include <weir_plugin.h>

#include <pthread.h>
#include <stdbool.h>

#define MODEL_SNAPSHOTS_MAX 4u /* alive at a time; beyond, scrapes share the newest */

#define MODEL_BLOCK 32u /* names and label texts are readable up to a multiple of it, so that they are copied in whole blocks */

struct label_text { /* of one label set: {a="b",c="d"}, or nothing */
    struct label_text *next; /* among those that wait to be freed */
    uint32_t users, length;
    uint32_t id, labelset;   /* its own, 0: it has none; the host's */
    char text[];
};
#define MODEL_TEXT_BITS 24u  /* of an id */
/* By id.  While there is a snapshot, what it names stays where it is. */
union model_text {
    struct label_text *text;
    uintptr_t next_free;     /* id of the next one that is not in use */
};

struct model_family {
    const char *name;     /* a copy, of whole blocks; of a family in parts without their endings */
    const char *unit, *help; /* the host's, for ever */
    uint32_t id, kind;
    uint32_t series, live; /* live: those with a value */
    uint32_t *slots;      /* if listed (model_list): indexes of its series, in the order of its lines; 0: gone */
    uint32_t count, room, gone;
    bool in_parts, unsorted; /* unsorted: slots have come at the end */
    bool total;           /* a counter whose name may lose _total in OpenMetrics */
    uint64_t changed;     /* version in which a line of it last changed */
    size_t label_bytes;   /* of all its series, for an estimate of the text */
};

enum model_state { MODEL_STALE = 0, MODEL_F64 = 1, MODEL_U64 = 2 };
struct model_series {     /* as small as it can be: there may be millions */
    uint32_t text : 24, generation : 8; /* id of its labels'; what its handle has above the index */
    uint32_t position : 24, part : 3, in_parts : 1, has_exemplar : 1, known : 1, state : 2; /* position in the family's slots, if it is
                                                                                            * listed; enum part; enum model_state */
    uint16_t family, group;
};
static inline bool model_series_is(const struct model_series *series, uint32_t handle)
{
    return series->known && series->generation == handle >> 24;
}

struct model_line {
    uintptr_t labels;     /* struct label_text, and in its lowest bits enum model_line_bit */
    uint64_t bits;
};
enum model_line_bit { MODEL_LINE_INTEGER = 1, MODEL_LINE_EXEMPLAR = 2, MODEL_LINE_PART = 4 /* times enum part */ };
#define MODEL_LINE_BITS ((uintptr_t)15)
static inline uint32_t model_series_bits(const struct model_series *series)
{
    return (series->state == MODEL_U64) | series->has_exemplar * (uint32_t)MODEL_LINE_EXEMPLAR | series->part * (uint32_t)MODEL_LINE_PART;
}
_Static_assert(_Alignof(max_align_t) >= 16 && PARTS <= 4, "four bits of an address are free");
struct model_lines {      /* of one family */
    const struct model_family *family;
    size_t first, count;
};
struct model_exemplar {   /* of a line */
    size_t line;
    const struct label_text *text; /* " # {...} value time" */
};
struct model_snapshot {
    unsigned users;       /* under the model's lock */
    uint64_t version;
    const union model_text *texts; /* the model's */
    struct model_lines *families;
    struct model_exemplar *exemplars; /* by line */
    size_t nfamilies, nexemplars;
    uint32_t *labels;     /* of each line: id of the text, and above it enum model_line_bit; they lie behind all bits */
    uint64_t bits[];
};

struct model {
    const struct weir_host *host;
    struct weir_self *self;
    pthread_mutex_t lock;

    struct model_family **families; /* by id */
    uint32_t families_room;
    struct model_family **sorted;   /* by name */
    uint32_t nfamilies;
    bool listed;                    /* all families are, and not only those in parts, whose lines have an order of their own */
    bool unsorted;                  /* some family's slots are */
    uint32_t *text_ids;             /* by the host's id of the label set; 0: not known */
    uint32_t labelsets_room;
    /* By id, reserved for all there can be and touched only where there are some. */
    union model_text *texts;
    uint32_t texts_end, free_text;  /* behind the highest id ever used; the first that is free again, or 0 */
    /* The same by index. */
    struct model_series *series;
    uint64_t *bits;
    uint32_t series_end;            /* behind the highest index in use */
    struct label_text **exemplars;  /* of series that have one */
    struct model_group {            /* by id */
        int64_t not_before_ns;      /* a snapshot had everything until then */
        uint32_t source;            /* whose it is */
    } *groups;
    uint32_t groups_room;
    struct model_source {
        uint32_t id;
        const char *name;
        bool open;                  /* in the middle of a pass, */
        bool gap;                   /* or between a loss and the last of the snapshots behind it */
    } *sources;
    size_t nsources;
    size_t open;                    /* sources in the middle of a pass: the lock is held */

    uint64_t version;               /* grows with every change that can be seen */
    struct model_snapshot *newest;
    unsigned snapshots;
    struct label_text *graveyard;   /* texts that snapshots may still use */
};

int model_init(struct model *model, const struct weir_host *host, struct weir_self *self);
void model_free(struct model *model);

int model_consume(struct model *model, const struct weir_batch *batch);

/* On the sink's thread, between passes: from now on all families have their series listed, for who looks at one family after the other;
 * WEIR_ENOMEM: they have not.  Or no longer. */
int model_list(struct model *model);
void model_unlist(struct model *model);

/* A snapshot of now; of one source alone if `source` is not 0.  NULL: no memory. */
struct model_snapshot *model_snapshot_get(struct model *model, uint32_t source);
void model_snapshot_put(struct model *model, struct model_snapshot *snapshot);
/* Id of the instance of this name; 0: none. */
uint32_t model_source_find(struct model *model, const char *name);

/* The line of a live series, or false.  Under the lock, or on the sink's thread between passes. */
static inline bool model_live(const struct model *model, uint32_t index, struct model_line *line)
{
    if (!index || model->series[index].state == MODEL_STALE)
        return false;
    line->labels = (uintptr_t)model->texts[model->series[index].text].text | model_series_bits(&model->series[index]);
    line->bits = model->bits[index];
    return true;
}
static inline struct model_line model_snapshot_line(const struct model_snapshot *snapshot, size_t at)
{
    return (struct model_line){.labels = (uintptr_t)snapshot->texts[snapshot->labels[at] & WEIR_SERIES_INDEX].text |
                                         snapshot->labels[at] >> MODEL_TEXT_BITS,
                               .bits = snapshot->bits[at]};
}
static inline const struct label_text *model_line_labels(const struct model_line *line)
{
    return (const struct label_text *)(line->labels & ~MODEL_LINE_BITS);
}
static inline bool model_line_is_integer(const struct model_line *line)
{
    return line->labels & MODEL_LINE_INTEGER;
}
static inline enum part model_line_part(const struct model_line *line)
{
    return (enum part)((line->labels & MODEL_LINE_BITS) / MODEL_LINE_PART);
}
/* The exemplar of a snapshot's line, or NULL. */
const struct label_text *model_snapshot_exemplar(const struct model_snapshot *snapshot, size_t line);

#endif
