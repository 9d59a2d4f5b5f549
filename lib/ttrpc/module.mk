MODULE := lib/ttrpc
NEEDS  := lib/base
LIBS   := -lprotobuf-c
GEN    := $(patsubst %.proto,%.pb-c.c,$(wildcard lib/ttrpc/proto/*.proto))
$(eval $(module))
