MODULE := ctr
NEEDS  := bus/peer bus/wire bus/board lib/base schemas
LIBS   := -ljansson
$(eval $(module))

PROGRAM := ctr
MAIN    := ctr/main.c
NEEDS   := ctr
$(eval $(program))
