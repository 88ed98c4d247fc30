/* render.c - the text; render.h names the formats. */
#include "render.h"

#include <stdlib.h>
#include <string.h>

static const char *const kinds[FORMATS][WEIR_SUMMARY + 1] = {
    [FORMAT_TEXT] = {[WEIR_UNKNOWN] = "untyped", [WEIR_GAUGE] = "gauge", [WEIR_COUNTER] = "counter", [WEIR_INFO] = "gauge",
                     [WEIR_HISTOGRAM] = "histogram", [WEIR_SUMMARY] = "summary"},
    [FORMAT_OPENMETRICS] = {[WEIR_UNKNOWN] = "unknown", [WEIR_GAUGE] = "gauge", [WEIR_COUNTER] = "counter",
                            [WEIR_INFO] = "info", [WEIR_HISTOGRAM] = "histogram", [WEIR_SUMMARY] = "summary"}};

static char *put(char *out, const char *text, size_t length)
{
    memcpy(out, text, length);
    return out + length;
}

/* In whole blocks: what is written beyond the length is written over next. */
static inline char *put_blocks(char *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i += MODEL_BLOCK)
        memcpy(out + i, text + i, MODEL_BLOCK);
    return out + length;
}

static bool ends_with(const char *name, size_t length, const char *end)
{
    size_t n = strlen(end);

    return length > n && memcmp(name + length - n, end, n) == 0;
}

size_t render_head_size(const struct model_family *family)
{
    return 3 * (strlen(family->name) + 16) + 2 * strlen(family->help) + (family->unit ? strlen(family->unit) : 0) + 16;
}

size_t render_head(char *out, const struct model_family *family, enum format format)
{
    const char *begin = out, *kind = family->kind <= WEIR_SUMMARY ? kinds[format][family->kind] : "unknown";
    size_t length = strlen(family->name);

    if (format == FORMAT_OPENMETRICS && family->kind == WEIR_COUNTER) {
        /* A counter's samples end in _total there; one with another name keeps it and cannot be called a counter. */
        if (family->total)
            length -= 6;
        else
            kind = kinds[format][WEIR_UNKNOWN];
    }
    if (format == FORMAT_OPENMETRICS && family->kind == WEIR_INFO) {
        if (ends_with(family->name, length, "_info"))
            length -= 5;
        else
            kind = "gauge";
    }
    if (*family->help) {
        out = put(out, "# HELP ", 7);
        out = put(out, family->name, length);
        *out++ = ' ';
        for (const char *s = family->help; *s; s++) {
            if (*s == '\n' || *s == '\\' || (*s == '"' && format == FORMAT_OPENMETRICS)) {
                *out++ = '\\';
                *out++ = *s == '\n' ? 'n' : *s;
            } else {
                *out++ = *s;
            }
        }
        *out++ = '\n';
    }
    out = put(out, "# TYPE ", 7);
    out = put(out, family->name, length);
    *out++ = ' ';
    out = put(out, kind, strlen(kind));
    *out++ = '\n';
    if (format == FORMAT_OPENMETRICS && family->unit && ends_with(family->name, length, family->unit) &&
        family->name[length - strlen(family->unit) - 1] == '_') {
        out = put(out, "# UNIT ", 7);
        out = put(out, family->name, length);
        *out++ = ' ';
        out = put(out, family->unit, strlen(family->unit));
        *out++ = '\n';
    }
    return (size_t)(out - begin);
}

static inline char *put_value(char *out, const struct model_line *line)
{
    double value;

    if (model_line_is_integer(line))
        return out + number_u64(out, line->bits);
    memcpy(&value, &line->bits, sizeof(value));
    return out + number_f64(out, value);
}

size_t render_line(char *out, const char *name, size_t name_length, const struct model_line *line)
{
    const struct label_text *labels = model_line_labels(line);
    const char *begin = out;

    out = put_blocks(out, name, name_length);
    out = put_blocks(out, labels->text, labels->length);
    *out++ = ' ';
    out = put_value(out, line);
    *out++ = '\n';
    return (size_t)(out - begin);
}

size_t render_any_size(const struct model_family *family, const struct model_line *line, const struct label_text *exemplar)
{
    return render_line_size(strlen(family->name) + sizeof("_bucket"), model_line_labels(line)) + (exemplar ? exemplar->length : 0);
}

/* Text 0.0.4 has bounds as Go prints numbers, "1" where OpenMetrics has "1.0". */
static char *put_labels(char *out, const struct label_text *labels, bool bounds, enum format format)
{
    size_t at, length;

    if (!bounds || format != FORMAT_TEXT || !part_bound(labels->text, labels->length, &at, &length) || length < 3 ||
        memcmp(labels->text + at + length - 2, ".0", 2) != 0)
        return put(out, labels->text, labels->length);
    out = put(out, labels->text, at + length - 2);
    return put(out, labels->text + at + length, labels->length - at - length);
}

size_t render_any(char *out, const struct model_family *family, enum format format, const struct model_line *line,
                  const struct label_text *exemplar)
{
    const enum part part = model_line_part(line);
    const char *begin = out;

    out = put(out, family->name, strlen(family->name));
    out = put(out, part_endings[part], strlen(part_endings[part]));
    out = put_labels(out, model_line_labels(line), family->in_parts && part <= PART_BUCKET, format);
    *out++ = ' ';
    out = put_value(out, line);
    /* Of counters that may be called so there, and of buckets. */
    if (exemplar && format == FORMAT_OPENMETRICS && (family->total || part == PART_BUCKET))
        out = put(out, exemplar->text, exemplar->length);
    *out++ = '\n';
    return (size_t)(out - begin);
}

/* ---- A snapshot ------------------------------------------------------------------------------------------------------------------ */

/* The next whole piece, if `size` is enough for it; *need is what it may take.  0 with *need 0: the end. */
static size_t piece(struct render *render, char *out, size_t size, size_t *need)
{
    const struct model_snapshot *snapshot = render->snapshot;
    const struct model_lines *lines;
    struct model_line line;
    const struct label_text *exemplar;
    size_t length;

    *need = 0;
    if (render->family == snapshot->nfamilies) {
        if (render->ended || render->format != FORMAT_OPENMETRICS)
            return 0;
        *need = sizeof(RENDER_EOF) - 1;
        if (size < *need)
            return 0;
        render->ended = true;
        memcpy(out, RENDER_EOF, *need);
        return *need;
    }
    lines = &snapshot->families[render->family];
    if (!render->head_done) {
        *need = render_head_size(lines->family);
        if (size < *need)
            return 0;
        render->head_done = true;
        return render_head(out, lines->family, render->format);
    }
    line = model_snapshot_line(snapshot, lines->first + render->line);
    exemplar = model_snapshot_exemplar(snapshot, lines->first + render->line);
    *need = render_any_size(lines->family, &line, exemplar);
    if (size < *need)
        return 0;
    length = render_any(out, lines->family, render->format, &line, exemplar);
    if (++render->line == lines->count) {
        render->line = 0;
        render->head_done = false;
        render->family++;
    }
    return length;
}

/* Lines of one family, as many as fit, up to one that has more than a value: the loop that most of the time is spent in. */
static size_t lines_fill(struct render *render, char *out, size_t size)
{
    const struct model_lines *lines = &render->snapshot->families[render->family];
    const char *name = lines->family->name;
    size_t name_length = strlen(name), n = 0;

    if (lines->family->in_parts)
        return 0;
    for (; render->line + 1 < lines->count; render->line++) {
        const struct model_line line = model_snapshot_line(render->snapshot, lines->first + render->line);

        if (line.labels & MODEL_LINE_EXEMPLAR || render_line_size(name_length, model_line_labels(&line)) > size - n)
            break;
        n += render_line(out + n, name, name_length, &line);
    }
    return n;
}

ssize_t render_next(struct render *render, char *out, size_t size)
{
    size_t n = 0, need;

    if (render->spill) {
        size_t left = render->spill_length - render->spill_done;

        n = left < size ? left : size;
        memcpy(out, render->spill + render->spill_done, n);
        render->spill_done += n;
        if (n < left)
            return (ssize_t)n;
        free(render->spill);
        render->spill = NULL;
    }
    for (;;) {
        size_t got;

        if (render->head_done && render->family < render->snapshot->nfamilies)
            n += lines_fill(render, out + n, size - n);
        got = piece(render, out + n, size - n, &need);
        n += got;
        if (got)
            continue;
        if (n || !need)
            return (ssize_t)n;
        /* Larger than all there is room for: made apart, and handed out in parts. */
        render->spill = malloc(need);
        if (!render->spill)
            return -1;
        render->spill_length = piece(render, render->spill, need, &need);
        render->spill_done = 0;
        return render_next(render, out, size);
    }
}

void render_end(struct render *render)
{
    free(render->spill);
    render->spill = NULL;
}
