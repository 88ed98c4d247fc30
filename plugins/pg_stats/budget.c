/* budget.c - how much may be asked of a server; budget.h says by which rules. */
#include "budget.h"

#define SAVED_MAX 10 /* allowances */

void budget_begin(struct budget *budget, const int64_t allowance[PURSES], int64_t interval_ns, int64_t now_ns)
{
    for (int i = 0; i < PURSES; i++)
        budget->allowance[i] = budget->left[i] = allowance[i];
    budget->interval_ns = interval_ns;
    budget->filled_ns = now_ns;
}

void budget_retime(struct budget *budget, const int64_t allowance[PURSES], int64_t interval_ns)
{
    budget->interval_ns = interval_ns;
    for (int i = 0; i < PURSES; i++) {
        budget->allowance[i] = allowance[i];
        if (budget->left[i] > allowance[i] * SAVED_MAX)
            budget->left[i] = allowance[i] * SAVED_MAX;
    }
}

void budget_fill(struct budget *budget, int64_t now_ns)
{
    double part = (double)(now_ns - budget->filled_ns) / (double)budget->interval_ns;

    for (int i = 0; i < PURSES; i++) {
        int64_t most = budget->allowance[i] * SAVED_MAX;
        double left = (double)budget->left[i] + part * (double)budget->allowance[i];

        budget->left[i] = left < (double)most ? (int64_t)left : most;
    }
    budget->filled_ns = now_ns;
}

bool budget_allows(const struct budget *budget, const int64_t cost[PURSES])
{
    for (int i = 0; i < PURSES; i++) {
        int64_t most = budget->allowance[i] * (SAVED_MAX - 1), needed = cost[i] < most ? cost[i] : most;

        if (budget->allowance[i] && (budget->left[i] <= 0 || budget->left[i] < needed))
            return false;
    }
    return true;
}

void budget_spend(struct budget *budget, const int64_t cost[PURSES], const int64_t *reserve)
{
    for (int i = 0; i < PURSES; i++) {
        int64_t left = budget->left[i] - cost[i];

        if (!budget->allowance[i])
            continue;
        if (reserve && left < reserve[i])
            left = budget->left[i] < reserve[i] ? budget->left[i] : reserve[i];
        budget->left[i] = left;
    }
}
