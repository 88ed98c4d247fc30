if WITH_SYSTEM
plugin_LTLIBRARIES += system.la
system_la_SOURCES = plugins/system/system.c plugins/system/system.h plugins/system/cpu.c plugins/system/memory.c \
	plugins/system/disk.c plugins/system/net.c plugins/system/filesystem.c plugins/system/identity.c \
	plugins/system/parse.c plugins/system/parse.h plugins/system/items.c plugins/system/items.h \
	plugins/system/file.c plugins/system/file.h plugins/system/probe.c plugins/system/probe.h
system_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
system_la_CFLAGS = $(PLUGIN_CFLAGS)
system_la_LDFLAGS = $(PLUGIN_LDFLAGS)
system_la_LIBADD = -lpthread
endif
