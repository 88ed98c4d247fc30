if WITH_POOL
plugin_LTLIBRARIES += pool.la
pool_la_SOURCES = plugins/pool/pool.c plugins/pool/conninfo.c plugins/pool/conninfo.h plugins/pool/gate.c plugins/pool/gate.h \
	plugins/pool/session.c plugins/pool/session.h plugins/pool/worker.c plugins/pool/worker.h plugins/pool/weir_pool.h
pool_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) $(PQ_CFLAGS)
pool_la_CFLAGS = $(PLUGIN_CFLAGS)
pool_la_LDFLAGS = $(PLUGIN_LDFLAGS)
pool_la_LIBADD = $(PQ_LIBS) -lpthread
include_HEADERS += plugins/pool/weir_pool.h
endif
