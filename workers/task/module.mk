MODULE := workers/task
NEEDS  := bus/worker lib/ttrpc lib/oci lib/store lib/filter bus/peer bus/board bus/wire lib/base schemas
LIBS   := -l:libmd.a
$(eval $(module))

PROGRAM := coffer-task
AT      := libexec/
MAIN    := workers/task/main.c
NEEDS   := workers/task
$(eval $(program))
