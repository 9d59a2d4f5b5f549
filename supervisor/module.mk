MODULE := supervisor
NEEDS  := bus/board lib/base schemas
$(eval $(module))

PROGRAM := cofferd
MAIN    := supervisor/main.c
NEEDS   := supervisor
$(eval $(program))
