/* template.h - names of series made by a template, for what has no labels.
 *
 * `{name}` is the family's, `{labels}` all labels that the template does not name, as label.value, `{LABEL}` one label's value.
 * Dots are left out where they would part nothing.  All that is not a letter, a digit, `_` or `-` becomes `_`, one for each
 * character of UTF-8.
 * Threads: one at a time; nothing changes once it is made.
 */
#ifndef STATSD_TEMPLATE_H
#define STATSD_TEMPLATE_H

#include <weir_plugin.h>

#include <stdbool.h>

struct template;
/* NULL: no memory if *wrong is "", else what is wrong with the text. */
struct template *template_new(const char *text, const char **wrong);
void template_free(struct template *template);
/* Whether it names this label, and whether {labels} is in it. */
bool template_has_field(const struct template *template, const char *label);
bool template_has_labels(const struct template *template);

/* ---- Writing within bounds ---- */
struct text_writer {
    char *begin, *at, *end; /* at == end + 1: it was too long */
    char *name;             /* where template_put has written the last {name} */
};
void text_put(struct text_writer *writer, char byte);
void text_put_all(struct text_writer *writer, const char *text);
/* With what is neither a word's nor in `more` replaced. */
void text_put_clean(struct text_writer *writer, const char *text, const char *more);
/* The name of a series: of the info name and labels count. */
void template_put(struct text_writer *writer, const struct template *template, const struct weir_series_info *info);

#endif
