/* budget.h - how much may be asked of a server: a purse for time, one for CPU and one for rows.
 *
 * Each is filled evenly, one allowance per interval, and saves up to ten.  What was spent is taken out afterwards, for nobody knows
 * before.  What is asked first takes first, so that the less important wait when there is little; what costs more than one
 * allowance waits until so much is saved, and what costs more than ten until the purse is all but full.  First passes are not
 * asked for leave; a reserve keeps those of hundreds of databases from putting all else into debt for minutes.
 * Times are CLOCK_MONOTONIC in ns.  Threads: one.
 */
#ifndef PG_STATS_BUDGET_H
#define PG_STATS_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum purse { PURSE_TIME, PURSE_CPU, PURSE_ROWS, PURSES };
struct budget {
    int64_t allowance[PURSES]; /* of one interval: ns, ns, rows; 0: no limit */
    int64_t left[PURSES];
    int64_t interval_ns, filled_ns;
};

/* With one allowance in each purse. */
void budget_begin(struct budget *budget, const int64_t allowance[PURSES], int64_t interval_ns, int64_t now_ns);
/* Another interval, or another allowance; what is left stays, as far as there is room. */
void budget_retime(struct budget *budget, const int64_t allowance[PURSES], int64_t interval_ns);
void budget_fill(struct budget *budget, int64_t now_ns);
/* Whether what usually costs so much (0: not known) may be asked now. */
bool budget_allows(const struct budget *budget, const int64_t cost[PURSES]);
/* With a reserve: what would be taken of it is forgiven. */
void budget_spend(struct budget *budget, const int64_t cost[PURSES], const int64_t *reserve);

#endif
