/* render.h - the text of families and lines, in both formats, and a snapshot's text piece by piece.
 *
 * Formats: Prometheus text 0.0.4 and OpenMetrics 1.0 (their specifications; reference in README).
 */
#ifndef PROMETHEUS_RENDER_H
#define PROMETHEUS_RENDER_H

#include "model.h"
#include "negotiate.h"
#include "number.h"

#include <sys/types.h>

/* Most bytes of a family's head, and of a line. */
size_t render_head_size(const struct model_family *family);
static inline size_t render_line_size(size_t name_length, const struct label_text *labels)
{
    /* Labels are copied in whole blocks, over what follows them. */
    return name_length + labels->length + (NUMBER_MAX > MODEL_BLOCK ? NUMBER_MAX : MODEL_BLOCK) + 2;
}
/* HELP, TYPE and UNIT; returns the length. */
size_t render_head(char *out, const struct model_family *family, enum format format);
/* One line; returns the length. */
size_t render_line(char *out, const char *name, size_t name_length, const struct model_line *line);
/* The same of any family, with the exemplar, or NULL; and the most bytes of it. */
size_t render_any_size(const struct model_family *family, const struct model_line *line, const struct label_text *exemplar);
size_t render_any(char *out, const struct model_family *family, enum format format, const struct model_line *line,
                  const struct label_text *exemplar);

#define RENDER_EOF "# EOF\n" /* ends an OpenMetrics text */

/* A snapshot's text, on the way. */
struct render {
    const struct model_snapshot *snapshot;
    enum format format;
    size_t family, line;
    bool head_done, ended;
    char *spill;           /* a piece that did not fit as a whole */
    size_t spill_length, spill_done;
};
/* The next bytes, 0 at the end, below 0 without memory. */
ssize_t render_next(struct render *render, char *out, size_t size);
void render_end(struct render *render);

#endif
