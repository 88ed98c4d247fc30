/* catalog.h - what each handle is sent as: its family and its label set, made once when the handle is new.
 *
 * Label sets are shared by all series that have them; so a table's nineteen figures are one set.
 * Threads: the sink's.
 */
#ifndef PUSH_CATALOG_H
#define PUSH_CATALOG_H

#include "record.h"
#include "relabel.h"

struct catalog_series {
    uint32_t handle; /* 0: not known */
    uint32_t group, source;
    struct record_family *family;
    struct record_labels *labels; /* NULL: it is not sent */
};
struct catalog_options {
    const char *job, *instance;
    const struct weir_label *external; /* count of them; a series' own label wins */
    size_t nexternal;
};
struct catalog;

/* The rules stay the caller's, as do the options' texts. */
struct catalog *catalog_new(const struct weir_host *host, struct weir_self *self, const struct catalog_options *options,
                            const struct relabel *relabel);
void catalog_free(struct catalog *catalog);
/* What is known of the handle, which is looked up if it is new; NULL: it has ended already, or there is no memory. */
const struct catalog_series *catalog_get(struct catalog *catalog, uint32_t handle);
void catalog_forget(struct catalog *catalog, uint32_t handle);
void catalog_forget_source(struct catalog *catalog, uint32_t source);
/* How many series are sent, and how many the rules keep back. */
void catalog_count(const struct catalog *catalog, uint64_t *sent, uint64_t *filtered);

#endif
