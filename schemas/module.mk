MODULE := schemas
NEEDS  := lib/base
SKIP   := dump.c
$(eval $(module))

PROGRAM := bus-doc
MAIN    := schemas/dump.c
NEEDS   := schemas lib/base
$(eval $(program))
