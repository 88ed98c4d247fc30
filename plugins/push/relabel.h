/* relabel.h - what a series is called where it is sent: external labels, job and instance, and the rules of the section.
 *
 * The actions and their options are those of Prometheus' write_relabel_configs, with POSIX extended regular expressions (regex(7))
 * in the place of RE2; an expression matches the whole text.  A rule sees the labels as the ones before it have left them.
 * Threads: a label set is one thread's; compiled rules are read only.
 */
#ifndef PUSH_RELABEL_H
#define PUSH_RELABEL_H

#include <weir_plugin.h>

#include <stdbool.h>
#include <stddef.h>

#define RELABEL_LABELS_MAX 64u
#define RELABEL_NAME "__name__"

/* ---- A label set at work ---- */
struct label_set {
    struct weir_label labels[RELABEL_LABELS_MAX]; /* by name, sorted; with __name__ */
    size_t count;
    char *text; /* what rules have made */
    size_t length, room;
};
/* Begins with the labels given, which are borrowed until the set is used no more, and the name.  False: there are too many. */
bool label_set_begin(struct label_set *set, const char *name, const struct weir_label *labels, size_t count);
void label_set_free(struct label_set *set);
/* "" where there is none. */
const char *label_set_get(const struct label_set *set, const char *name);
/* Copies nothing; an empty value takes the label away.  False: there are too many. */
bool label_set_put(struct label_set *set, const char *name, const char *value);

/* ---- Rules ---- */
enum relabel_action { RELABEL_KEEP, RELABEL_DROP, RELABEL_REPLACE, RELABEL_LABELMAP, RELABEL_LABELKEEP, RELABEL_LABELDROP };
extern const char *const relabel_action_names[]; /* NULL-terminated */
struct relabel_rule { /* as configured */
    const char *name;
    int64_t action;
    struct weir_list source_labels;
    const char *separator, *regex, *target_label, *replacement;
};
struct relabel;
/* Compiles rules; NULL with the reason. */
struct relabel *relabel_new(const struct relabel_rule *rules, size_t count, char *why, size_t why_size);
void relabel_free(struct relabel *relabel);
enum relabel_result { RELABEL_SEND, RELABEL_FILTERED,
                     RELABEL_FAILED /* no memory, or too many labels, or no valid name is left */ };
enum relabel_result relabel_apply(const struct relabel *relabel, struct label_set *set);

#endif
