/* relabel.c - rules on label sets; relabel.h is the contract. */
#include "relabel.h"

#include <ctype.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS 10u                /* $0 to $9 */
#define TEXT_MAX (256u << 10)     /* bytes that rules may make for one series */

const char *const relabel_action_names[] = {"keep", "drop", "replace", "labelmap", "labelkeep", "labeldrop", NULL};

struct rule {
    struct relabel_rule given;
    regex_t regex;
};
struct relabel {
    size_t count;
    struct rule rules[];
};

/* ---- Label sets ---------------------------------------------------------------------------------------------------------- */

/* Where the label is, or belongs. */
static size_t place_of(const struct label_set *set, const char *name, bool *there)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(set->labels[middle].name, name);

        if (order == 0) {
            *there = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *there = false;
    return low;
}

const char *label_set_get(const struct label_set *set, const char *name)
{
    bool there;
    size_t at = place_of(set, name, &there);

    return there ? set->labels[at].value : "";
}

bool label_set_put(struct label_set *set, const char *name, const char *value)
{
    bool there;
    size_t at = place_of(set, name, &there);

    if (there && *value) {
        set->labels[at].value = value;
    } else if (there) {
        memmove(&set->labels[at], &set->labels[at + 1], (--set->count - at) * sizeof(set->labels[0]));
    } else if (*value) {
        if (set->count == RELABEL_LABELS_MAX)
            return false;
        memmove(&set->labels[at + 1], &set->labels[at], (set->count++ - at) * sizeof(set->labels[0]));
        set->labels[at] = (struct weir_label){name, value};
    }
    return true;
}

bool label_set_begin(struct label_set *set, const char *name, const struct weir_label *labels, size_t count)
{
    set->length = 0;
    set->count = count;
    if (count >= RELABEL_LABELS_MAX)
        return false;
    if (count)
        memcpy(set->labels, labels, count * sizeof(*labels));
    return label_set_put(set, RELABEL_NAME, name);
}

void label_set_free(struct label_set *set)
{
    free(set->text);
    *set = (struct label_set){0};
}

/* ---- Texts that rules make ----------------------------------------------------------------------------------------------- */

/* The text must not move while labels point into it: it has its room from the beginning. */
static bool text_add(struct label_set *set, const char *text, size_t length)
{
    if (!set->text) {
        set->text = malloc(TEXT_MAX);
        set->room = set->text ? TEXT_MAX : 0;
    }
    if (set->length + length > set->room)
        return false;
    memcpy(set->text + set->length, text, length);
    set->length += length;
    return true;
}

/* Ends what was added since `begin`; NULL if it did not fit. */
static const char *text_end(struct label_set *set, size_t begin, bool good)
{
    return good && text_add(set, "", 1) ? set->text + begin : NULL;
}

/* The replacement with $1, ${1} and $$ in it put in.  Groups are one further than written: the expression is in one of our own. */
static const char *expand(struct label_set *set, const char *replacement, const char *text, const regmatch_t *groups)
{
    size_t begin = set->length;
    bool good = true;

    for (const char *at = replacement; *at && good; at++) {
        bool braced = at[0] == '$' && at[1] == '{';
        const char *digit = at + (braced ? 2 : 1);

        if (at[0] == '$' && at[1] == '$') {
            good = text_add(set, "$", 1);
            at++;
        } else if (at[0] == '$' && isdigit((unsigned char)*digit) && (!braced || digit[1] == '}')) {
            const regmatch_t *group = &groups[*digit == '0' ? 0 : *digit - '0' + 1];

            if (group->rm_so >= 0)
                good = text_add(set, text + group->rm_so, (size_t)(group->rm_eo - group->rm_so));
            at = digit + (braced ? 1 : 0);
        } else {
            good = text_add(set, at, 1);
        }
    }
    return text_end(set, begin, good);
}

/* The values of the rule's source labels, one behind the other. */
static const char *source_of(struct label_set *set, const struct relabel_rule *rule)
{
    size_t begin = set->length;
    bool good = true;

    if (rule->source_labels.count == 1)
        return label_set_get(set, rule->source_labels.items[0]);
    for (size_t i = 0; good && i < rule->source_labels.count; i++) {
        const char *value = label_set_get(set, rule->source_labels.items[i]);

        good = (i == 0 || text_add(set, rule->separator, strlen(rule->separator))) && text_add(set, value, strlen(value));
    }
    return text_end(set, begin, good);
}

/* ---- Rules --------------------------------------------------------------------------------------------------------------- */

static bool name_is_valid(const char *name, bool metric)
{
    for (const char *at = name; *at; at++)
        if (!(isalpha((unsigned char)*at) || *at == '_' || (metric && *at == ':') || (at > name && isdigit((unsigned char)*at))))
            return false;
    return *name != '\0';
}

/* Labels that begin with __ are nobody's but __name__. */
static bool label_is_valid(const char *name)
{
    return strcmp(name, RELABEL_NAME) == 0 || (name_is_valid(name, false) && strncmp(name, "__", 2) != 0);
}

static bool matches(const struct rule *rule, const char *text, regmatch_t *groups)
{
    return regexec(&rule->regex, text, groups ? GROUPS + 1 : 0, groups, 0) == 0;
}

static enum relabel_result replace(const struct rule *rule, struct label_set *set)
{
    const char *source = source_of(set, &rule->given), *target, *value;
    regmatch_t groups[GROUPS + 1];

    if (!source)
        return RELABEL_FAILED;
    if (!matches(rule, source, groups))
        return RELABEL_SEND;
    target = expand(set, rule->given.target_label, source, groups);
    value = expand(set, rule->given.replacement, source, groups);
    if (!target || !value)
        return RELABEL_FAILED;
    if (!label_is_valid(target))
        return RELABEL_SEND; /* one that no label can have changes nothing */
    return label_set_put(set, target, value) ? RELABEL_SEND : RELABEL_FAILED;
}

static enum relabel_result map_labels(const struct rule *rule, struct label_set *set)
{
    struct weir_label before[RELABEL_LABELS_MAX];
    size_t count = set->count;
    regmatch_t groups[GROUPS + 1];

    memcpy(before, set->labels, count * sizeof(before[0]));
    for (size_t i = 0; i < count; i++) {
        const char *name;

        if (!matches(rule, before[i].name, groups))
            continue;
        name = expand(set, rule->given.replacement, before[i].name, groups);
        if (!name || (label_is_valid(name) && !label_set_put(set, name, before[i].value)))
            return RELABEL_FAILED;
    }
    return RELABEL_SEND;
}

static void drop_labels(const struct rule *rule, struct label_set *set, bool matching)
{
    size_t kept = 0;

    for (size_t i = 0; i < set->count; i++)
        if (matches(rule, set->labels[i].name, NULL) != matching)
            set->labels[kept++] = set->labels[i];
    set->count = kept;
}

static enum relabel_result apply(const struct rule *rule, struct label_set *set)
{
    const char *source;

    switch (rule->given.action) {
    case RELABEL_REPLACE: return replace(rule, set);
    case RELABEL_LABELMAP: return map_labels(rule, set);
    case RELABEL_LABELKEEP: drop_labels(rule, set, false); return RELABEL_SEND;
    case RELABEL_LABELDROP: drop_labels(rule, set, true); return RELABEL_SEND;
    default:
        source = source_of(set, &rule->given);
        if (!source)
            return RELABEL_FAILED;
        return matches(rule, source, NULL) == (rule->given.action == RELABEL_KEEP) ? RELABEL_SEND : RELABEL_FILTERED;
    }
}

enum relabel_result relabel_apply(const struct relabel *relabel, struct label_set *set)
{
    for (size_t i = 0; i < relabel->count; i++) {
        enum relabel_result result = apply(&relabel->rules[i], set);

        if (result != RELABEL_SEND)
            return result;
    }
    return name_is_valid(label_set_get(set, RELABEL_NAME), true) ? RELABEL_SEND : RELABEL_FAILED;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

static bool rule_make(struct rule *rule, const struct relabel_rule *given, char *why, size_t why_size)
{
    const bool on_values = given->action == RELABEL_KEEP || given->action == RELABEL_DROP || given->action == RELABEL_REPLACE;
    char *anchored, reason[200];
    int status;

    rule->given = *given;
    if (on_values && !given->source_labels.count && given->action != RELABEL_REPLACE) {
        snprintf(why, why_size, "relabel \"%s\": source_labels is missing; give the labels that regex is for, "
                                "\"__name__\" for the name", given->name);
        return false;
    }
    if (given->action == RELABEL_REPLACE && !given->target_label) {
        snprintf(why, why_size, "relabel \"%s\": target_label is missing", given->name);
        return false;
    }
    for (size_t i = 0; i < given->source_labels.count; i++)
        if (!name_is_valid(given->source_labels.items[i], false)) {
            snprintf(why, why_size, "relabel \"%s\": \"%s\" is no label's name", given->name, given->source_labels.items[i]);
            return false;
        }
    anchored = malloc(strlen(given->regex) + 5);
    if (!anchored) {
        snprintf(why, why_size, "no memory");
        return false;
    }
    sprintf(anchored, "^(%s)$", given->regex);
    status = regcomp(&rule->regex, anchored, REG_EXTENDED);
    free(anchored);
    if (status == 0)
        return true;
    regerror(status, NULL, reason, sizeof(reason));
    snprintf(why, why_size, "relabel \"%s\": regex \"%s\": %s", given->name, given->regex, reason);
    return false;
}

struct relabel *relabel_new(const struct relabel_rule *rules, size_t count, char *why, size_t why_size)
{
    struct relabel *relabel = calloc(1, sizeof(*relabel) + count * sizeof(relabel->rules[0]));

    if (!relabel)
        snprintf(why, why_size, "no memory");
    for (size_t i = 0; relabel && i < count; i++) {
        if (!rule_make(&relabel->rules[i], &rules[i], why, why_size)) {
            relabel_free(relabel);
            return NULL;
        }
        relabel->count++;
    }
    return relabel;
}

void relabel_free(struct relabel *relabel)
{
    if (!relabel)
        return;
    for (size_t i = 0; i < relabel->count; i++)
        regfree(&relabel->rules[i].regex);
    free(relabel);
}
