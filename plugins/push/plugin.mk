# What pushes through a queue on disk: each plugin compiles it with its own PUSH_NAME.
PUSH_QUEUE = plugins/push/queue.c plugins/push/queue.h plugins/push/segment.c plugins/push/segment.h plugins/push/checkpoint.c \
	plugins/push/checkpoint.h plugins/push/directory.c plugins/push/directory.h plugins/push/crc32c.c plugins/push/crc32c.h
PUSH_RECORDS = plugins/push/catalog.c plugins/push/catalog.h plugins/push/record.c plugins/push/record.h plugins/push/relabel.c \
	plugins/push/relabel.h
PUSH_PARTS = plugins/push/parts.c plugins/push/parts.h
PUSH = plugins/push/push.c plugins/push/push.h plugins/push/sender.c plugins/push/sender.h plugins/push/backoff.h $(PUSH_RECORDS) \
	$(PUSH_QUEUE)
PUSH_HTTP = plugins/push/http_push.c plugins/push/http_push.h plugins/push/http_carrier.c plugins/push/http_carrier.h \
	plugins/push/answer.c plugins/push/answer.h $(PUSH_PARTS) $(PUSH)
