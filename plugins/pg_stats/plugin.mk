if WITH_PG_STATS
plugin_LTLIBRARIES += pg_stats.la
pg_stats_la_SOURCES = plugins/pg_stats/pg_stats.c plugins/pg_stats/queries.c plugins/pg_stats/queries.h \
	plugins/pg_stats/rows.c plugins/pg_stats/rows.h
pg_stats_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) $(PQ_CFLAGS)
pg_stats_la_CFLAGS = $(PLUGIN_CFLAGS)
pg_stats_la_LDFLAGS = $(PLUGIN_LDFLAGS)
pg_stats_la_LIBADD = $(PQ_LIBS)
endif
