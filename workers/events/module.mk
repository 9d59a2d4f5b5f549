MODULE := workers/events
NEEDS  := bus/worker lib/oci lib/store bus/peer bus/board bus/wire lib/base schemas
$(eval $(module))

PROGRAM := coffer-events
AT      := libexec/
MAIN    := workers/events/main.c
NEEDS   := workers/events
$(eval $(program))
