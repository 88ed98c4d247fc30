if WITH_PG_STATS
plugin_LTLIBRARIES += pg_stats.la
PG_STATS_QUERIES = plugins/pg_stats/queries.c plugins/pg_stats/queries.h plugins/pg_stats/query_rows.h \
	plugins/pg_stats/query_relations.h plugins/pg_stats/queries_bloat.c plugins/pg_stats/queries_indexes.c \
	plugins/pg_stats/queries_progress.c \
	plugins/pg_stats/queries_activity.c plugins/pg_stats/queries_cluster.c plugins/pg_stats/queries_objects.c \
	plugins/pg_stats/queries_relations.c plugins/pg_stats/queries_replication.c plugins/pg_stats/queries_statements.c \
	plugins/pg_stats/statements.h
# What needs neither server nor host.
PG_STATS_PARTS = plugins/pg_stats/budget.c plugins/pg_stats/budget.h plugins/pg_stats/obfuscate.c \
	plugins/pg_stats/obfuscate.h plugins/pg_stats/rows.c plugins/pg_stats/rows.h plugins/pg_stats/statements.c \
	plugins/pg_stats/top.c plugins/pg_stats/top.h
pg_stats_la_SOURCES = plugins/pg_stats/backend.c plugins/pg_stats/copy.c plugins/pg_stats/custom.c \
	plugins/pg_stats/databases.c plugins/pg_stats/figures.c plugins/pg_stats/pg_stats.c plugins/pg_stats/pg_stats.h \
	plugins/pg_stats/source.c plugins/pg_stats/use_sizes.c plugins/pg_stats/use_statements.c plugins/pg_stats/visit.c $(PG_STATS_PARTS) $(PG_STATS_QUERIES)
pg_stats_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) $(PQ_CFLAGS)
pg_stats_la_CFLAGS = $(PLUGIN_CFLAGS)
pg_stats_la_LDFLAGS = $(PLUGIN_LDFLAGS)
pg_stats_la_LIBADD = $(PQ_LIBS)
noinst_PROGRAMS += plugins/pg_stats/document
plugins_pg_stats_document_SOURCES = plugins/pg_stats/document.c $(PG_STATS_QUERIES)
EXTRA_DIST += plugins/pg_stats/moving.md
# On request: the end of the README, which is committed, from what the queries say.
readme: plugins/pg_stats/document$(EXEEXT)
	sed '/^## What it shows$$/q' $(srcdir)/plugins/pg_stats/README.md > readme.tmp && ./plugins/pg_stats/document readme >> readme.tmp && \
	mv readme.tmp $(srcdir)/plugins/pg_stats/README.md
endif
