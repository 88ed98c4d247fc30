/* top.h - when a limit is set: the rows of the strongest objects as they are, all others added up in rows called "other".
 *
 * An object is what the FOLDED labels of a query's rows say together (a statement, a table); it may have several rows.  Rows
 * whose FOLDED labels are all NULL are of no object and are shown as they are.  At most `limit` objects are members, shown singly.
 * The rows of the others are merged into rows whose FOLDED labels all are "other", one per combination of the other labels:
 *  - gauges: the sum; with COLUMN_MAX the largest; absent when no row has one;
 *  - counters: by how much the others' have grown since the first pass.  It never falls, and grows by what an object grows
 *    while it is not shown; so the rate of members and "other" together is the rate of everything, whoever comes and goes.
 * An object that is itself called "other" is never a member.  Rows with the same labels are one row, added up in the same way.
 *
 * A pass must be complete: what it does not bring is not there, and begins anew when it comes back.  A counter that fell was reset
 * and counts what it shows now, and so does a row that is new after the first pass: it began since.
 *
 * Strength is what an object has in the RANK column per pass: a counter's growth, a gauge's value.  Two moving averages are kept
 * of it, over about 8 and 64 passes, both from 0.  A member defends its place with the larger one, an outsider claims one with
 * the smaller, and gets the weakest member's only with twice its strength: objects that are alike differ by chance from pass to
 * pass, and with a plain ranking their series would come and go all the time.  So an outsider must be strong for long, or at once
 * far above the others, and a member that is idle holds its place until somebody needs it.  The first pass goes by totals.
 *
 * Memory: up to rows_max rows are remembered, each with what its counters showed.  Of rows beyond that the gauges are in "other";
 * the growth of their counters is not known and is left out.  Members without rows, and "other" rows of which there is none, are
 * forgotten after TOP_FORGET_PASSES passes.
 * Threads: one.
 */
#ifndef PG_STATS_TOP_H
#define PG_STATS_TOP_H

#include "queries.h"

#define TOP_ABSENT 2u /* in the flags of a value, in and out: there is none; WEIR_F64 and WEIR_U64 are the others */
#define TOP_FORGET_PASSES 3u

/* Of the last pass, when it has ended. */
struct top_counts {
    size_t members;    /* objects shown singly */
    size_t objects;    /* all that are remembered */
    size_t beyond;     /* rows beyond rows_max */
    size_t duplicates; /* rows that were added to another one of the same labels */
    uint64_t changes;  /* since the start: how often an outsider has taken a member's place */
};
/* A row of the result: labels as in a COPY's binary tuple (for each a big-endian int32 length, -1 for NULL, and its bytes), and
 * plan->ncolumns values without series.  Both are borrowed for the call.  Returns a status; below 0 ends the calls. */
typedef int top_emit(void *context, const char *key, size_t length, const struct weir_value *values);

/* The plan is borrowed until top_free.  NULL: no memory. */
struct top *top_new(const struct query_plan *plan, size_t limit, size_t rows_max);
void top_free(struct top *top);

/* Begins a pass; one that was not ended never happened. */
void top_begin(struct top *top);
/* One row of the pass, in the form that top_emit has; the key is sound. */
void top_row(struct top *top, const char *key, size_t length, const struct weir_value *values);
/* Ends the pass: chooses the members and gives out the rows, in the order in which they came, "other" last.  Returns WEIR_OK or
 * what `emit` returned. */
int top_end(struct top *top, top_emit *emit, void *context);

struct top_counts top_counts(const struct top *top);

#endif
