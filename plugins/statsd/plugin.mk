TEMPLATE = plugins/statsd/template.c plugins/statsd/template.h
LOOKUP = plugins/statsd/lookup.c plugins/statsd/lookup.h
NUMBER = plugins/prometheus/number.c plugins/prometheus/number.h
if WITH_STATSD
plugin_LTLIBRARIES += statsd.la
STATSD_LINES = plugins/statsd/buckets.c plugins/statsd/buckets.h plugins/statsd/counter.c plugins/statsd/counter.h \
	plugins/statsd/naming.c plugins/statsd/naming.h plugins/statsd/packets.c plugins/statsd/packets.h $(TEMPLATE) $(NUMBER)
STATSD_SOCKETS = plugins/statsd/endpoint.c plugins/statsd/endpoint.h $(LOOKUP)
statsd_la_SOURCES = plugins/statsd/statsd.c $(STATSD_LINES) $(STATSD_SOCKETS)
statsd_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) -I$(srcdir)/plugins/prometheus
statsd_la_CFLAGS = $(PLUGIN_CFLAGS)
statsd_la_LDFLAGS = $(PLUGIN_LDFLAGS)
statsd_la_LIBADD = -lpthread -lm
endif
