MODULE := lib/ttrpc
NEEDS  := lib/base
LIBS   := -l:libprotobuf-c.a
GEN    := $(patsubst %.proto,%.pb-c.c,$(wildcard lib/ttrpc/proto/*.proto))
$(eval $(module))
