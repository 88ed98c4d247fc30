/* statements.h - what is made of pg_stat_statements beside its rows: averages since the last pass, and texts.
 *
 * Keys are as top.h has them.  Threads: one.
 */
#ifndef PG_STATS_STATEMENTS_H
#define PG_STATS_STATEMENTS_H

#include "top.h"

/* ---- Averages ---------------------------------------------------------------------------------------------------------------
 *
 * pg_stat_statements knows the average since its last reset, in which today's trouble is lost.  From two passes comes that of
 * the executions between them.  A new row and one that fell count as in top.h.
 */
struct means_figures {
    uint64_t entries;        /* rows of the pass, of all statements */
    uint64_t slow;           /* statements that took longer than slow_seconds on average */
    uint64_t calls;          /* of all statements since the first pass; they do not fall when the server drops some */
    double seconds;
};
/* The plan is of the group "statements"; columns calls_total, seconds_total and mean_seconds are found by their names.  NULL: no
 * memory.  Rows beyond rows_max have no average. */
struct means *means_new(const struct query_plan *plan, double slow_seconds, size_t rows_max);
void means_free(struct means *means);

/* Begins a pass; one that was not ended never happened. */
void means_begin(struct means *means);
/* One row, before it goes into the top-N. */
void means_row(struct means *means, const char *key, size_t length, const struct weir_value *values);
/* Ends the pass, before the top-N ends its. */
struct means_figures means_end(struct means *means);
/* Puts the average into a row that the top-N has given out, if the statement was executed since the last pass. */
void means_fill(struct means *means, const char *key, size_t length, struct weir_value *values);

/* ---- Texts ------------------------------------------------------------------------------------------------------------------
 *
 * The server keeps all texts in one file and reads it whole for a single one.  So texts are read for those statements alone that
 * are shown and have none yet, kept (obfuscated), and asked for again only after TEXTS_WAIT_NS and a hundred times what the last
 * asking took; after one without an answer the wait doubles.  A text that was not there in TEXTS_TRIES attempts is not asked for
 * again.
 */
#define TEXTS_WAIT_NS INT64_C(60000000000)
#define TEXTS_WAIT_MAX_NS INT64_C(3600000000000)
#define TEXTS_TRIES 3u
#define TEXTS_FORGET_PASSES 1000u /* a text of a statement that was not shown for so long goes */

/* Keeps up to texts_max texts of up to text_bytes each.  NULL: no memory. */
struct texts *texts_new(size_t texts_max, size_t text_bytes);
void texts_free(struct texts *texts);

/* A pass of the group "statements" begins. */
void texts_begin(struct texts *texts);
/* A row that it shows; its first label is the queryid. */
void texts_want(struct texts *texts, const char *key, size_t length);
/* Puts the statement that fetches what is missing into `to`: `sql`, in which '{}' stands for the list of queryids.  False: there
 * is nothing to be asked for, or not yet.  Times are CLOCK_MONOTONIC. */
bool texts_ask(struct texts *texts, int64_t now_ns, const char *sql, char *to, size_t size);
/* One row of the answer: queryid and text. */
void texts_row(struct texts *texts, const char *key, size_t length);
/* The answer has come to its end. */
void texts_asked(struct texts *texts, int64_t now_ns, int64_t took_ns);
/* Gives out the texts of the statements of this pass.  Returns WEIR_OK or what `emit` returned. */
int texts_show(struct texts *texts, top_emit *emit, void *context);

#endif
