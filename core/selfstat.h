/* selfstat.h - the collector's own figures, as a source like any other: instance "weir".
 *
 * Its plugin goes through the same contract; only its state looks at the other instances' counters, all of them atomic.
 */
#ifndef WEIR_SELFSTAT_H
#define WEIR_SELFSTAT_H

#include "config.h"

/* The section of the collector's own instance; it has no place in the file. */
struct config_section selfstat_section(const struct config *config);

#endif
