MODULE := workers/content
NEEDS  := bus/worker lib/oci lib/store lib/filter bus/peer bus/board bus/wire lib/base schemas
LIBS   := -ldl
$(eval $(module))

PROGRAM := coffer-content
AT      := libexec/
MAIN    := workers/content/main.c
NEEDS   := workers/content
$(eval $(program))
