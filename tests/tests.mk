# Unit tests: one program per core file, with the sources it tests compiled in; and small plugins to test the host with.
if WITH_CHECK
check_PROGRAMS += tests/unit/check_ring
tests_unit_check_ring_SOURCES = tests/unit/check_ring.c core/ring.c
tests_unit_check_ring_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_check_ring_LDADD = $(CHECK_LIBS)
endif
